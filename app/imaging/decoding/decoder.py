"""Decodes and transcodes frames. Compressed data of strangers is decoded in processes of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.errors import ImageFailure
from app.imaging.codecs.syntaxes import SYNTAXES, check_target, syntax
from app.imaging.pixels.description import PixelDescription

if TYPE_CHECKING:
    from app.imaging.pixels.frame import DecodedFrame, EncodedFrame

# numpy is imported when the first frame is decoded: a server that decodes nothing keeps its memory.


class FrameDecoder:
    """Decodes and transcodes frames. Threads may share it."""

    def decode(self, description: PixelDescription, data: bytes) -> DecodedFrame:
        """Return the samples of one frame. Raises `ImageFailure` for a frame that cannot be decoded.

        `data` is the bytes of one frame. Native ones are in little endian, packed bits start at bit 0. Compressed ones
        have their fragments joined. The samples may be a view of `data` that cannot be written to.
        """
        from app.imaging.codecs import conversion

        try:
            return conversion.decode(description, data)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise ImageFailure(f"The frame cannot be decoded: {error}") from error

    def transcode(self, description: PixelDescription, data: bytes, target: str) -> EncodedFrame:
        """Return one frame in the transfer syntax `target` (a UID). Raises `ImageFailure` if that is impossible.

        A native frame stays as it is in another native syntax. Every other frame is decoded first: High Bit of the
        result is Bits Stored - 1, and Planar Configuration is 0.
        """
        check_target(description, target)
        if syntax(description.transfer_syntax).native and SYNTAXES[target].native:
            from app.imaging.pixels.frame import EncodedFrame

            return EncodedFrame(data=data, photometric=description.photometric, planar=description.planar)
        from app.imaging.codecs import conversion

        try:
            return conversion.transcode(description, data, target)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise ImageFailure(f"The frame cannot be transcoded: {error}") from error

    def close(self) -> None:
        """End the decoding processes. Frames that are being decoded fail."""
