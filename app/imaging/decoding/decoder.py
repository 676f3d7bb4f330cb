"""Decodes and transcodes frames. Compressed data of strangers is decoded in processes of their own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from app.errors import ImageFailure
from app.imaging.codecs.syntaxes import SYNTAXES, check_target, syntax
from app.imaging.decoding import messages
from app.imaging.decoding.pool import DecodingPool
from app.imaging.pixels.description import PixelDescription

if TYPE_CHECKING:
    from app.imaging.pixels.frame import DecodedFrame, EncodedFrame

# numpy is imported when the first frame is decoded. The codecs are imported in the decoding processes only.

DEFAULT_SECONDS: Final = 60
DEFAULT_MEMORY: Final = 1 << 30
_MOST_BY_DEFAULT: Final = 4
_EXTRA_BYTES: Final = 1 << 20


class FrameDecoder:
    """Decodes and transcodes frames. Threads share it. Processes are started when they are needed."""

    def __init__(self, *, processes: int = 0, seconds: float = DEFAULT_SECONDS, memory: int = DEFAULT_MEMORY) -> None:
        """`processes` is the largest number of processes. 0: as many as the machine has CPUs, up to 4.

        A request waits for a free process up to `seconds`, and it is decoded within `seconds`. `memory` is the bytes
        that each process may allocate.
        """
        count = processes or min(_usable_cpus(), _MOST_BY_DEFAULT)
        self._pool = DecodingPool(processes=count, seconds=seconds, memory=memory)

    def decode(self, description: PixelDescription, data: bytes) -> DecodedFrame:
        """Return the samples of one frame. Raises `ImageFailure` for a frame that cannot be decoded.

        `data` is the bytes of one frame. Native ones are in little endian, packed bits start at bit 0. Compressed ones
        have their fragments joined. The samples may be a view of `data` that cannot be written to. Raises
        `DecoderUnavailable` if no process becomes free or can be started.
        """
        import numpy as np

        from app.imaging.pixels import native
        from app.imaging.pixels.frame import DecodedFrame

        if syntax(description.transfer_syntax).native:
            return native.decode(description, data)
        _check_length(description, data)
        kind, shape = native.container(description), native.shape(description)
        expected = description.rows * description.columns * description.samples * kind.itemsize
        request = messages.request(description, None, self._pool.seconds, len(data))
        answer = self._pool.run(request, data, expected.__eq__)
        samples = np.frombuffer(answer.data, kind).reshape(shape)
        return DecodedFrame(samples=samples, photometric=answer.properties.photometric)

    def transcode(self, description: PixelDescription, data: bytes, target: str) -> EncodedFrame:
        """Return one frame in the transfer syntax `target` (a UID). Raises `ImageFailure` if that is impossible.

        A native frame stays as it is in another native syntax. Every other frame is decoded first: High Bit of the
        result is Bits Stored - 1, and Planar Configuration is 0. Raises `DecoderUnavailable` like `decode`.
        """
        from app.imaging.pixels.frame import EncodedFrame

        check_target(description, target)
        if syntax(description.transfer_syntax).native:
            if SYNTAXES[target].native:
                return EncodedFrame(data=data, photometric=description.photometric, planar=description.planar)
        else:
            _check_length(description, data)
        request = messages.request(description, target, self._pool.seconds, len(data))
        answer = self._pool.run(request, data, _largest(description).__ge__)
        return EncodedFrame(
            data=bytes(answer.data),
            photometric=answer.properties.photometric,
            planar=answer.properties.planar,
            lossy=answer.properties.lossy,
        )

    def close(self) -> None:
        """End the decoding processes. Frames that are being decoded fail."""
        self._pool.close()


def _usable_cpus() -> int:
    # The affinity mask is what a container may use; not every system has one.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _largest(description: PixelDescription) -> int:
    """Return the largest number of bytes that an encoded frame may have: twice its native size, and a bit."""
    bits = description.rows * description.columns * description.samples * max(description.bits_allocated, 8)
    return bits // 8 * 2 + _EXTRA_BYTES


def _check_length(description: PixelDescription, data: bytes) -> None:
    if len(data) > _largest(description):
        raise ImageFailure(f"The compressed frame has {len(data)} bytes. That is too large for its description.")
