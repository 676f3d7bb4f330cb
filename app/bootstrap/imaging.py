"""Builds what works on images."""

from __future__ import annotations

from app.imaging.decoding.decoder import FrameDecoder
from app.settings import Settings


def build_decoder(settings: Settings) -> FrameDecoder:
    """Return the decoder of this server process. It starts no process before the first compressed frame."""
    return FrameDecoder(
        processes=settings.decoding_processes,
        seconds=settings.decoding_seconds,
        memory=settings.decoding_memory_bytes,
    )
