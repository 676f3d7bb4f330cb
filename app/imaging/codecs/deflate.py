"""Deflated Image Frame Compression (PS3.5 §8.2): a native frame in a raw deflate stream."""

from __future__ import annotations

import zlib

from app.errors import ImageFailure
from app.imaging.pixels import native
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import DecodedFrame


def decode(description: PixelDescription, data: bytes) -> DecodedFrame:
    """Return the samples of a deflated frame. It is inflated up to the size that the description needs."""
    bits = description.rows * description.columns * description.samples * description.bits_allocated
    try:
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, (bits + 7) // 8)
    except zlib.error as error:
        raise ImageFailure("The deflated frame is damaged.") from error
    return native.decode(description, inflated)
