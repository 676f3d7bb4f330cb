"""JPEG-LS: lossless and near lossless (PS3.5 §8.2.3)."""

from __future__ import annotations

import imagecodecs

from app.imaging.codecs import codestreams
from app.imaging.codecs.integers import samples_of, unsigned
from app.imaging.pixels import native
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import DecodedFrame, EncodedFrame

_START_OF_IMAGE = b"\xff\xd8"
_START_OF_FRAME = b"\xff\xf7"


def decode(description: PixelDescription, data: bytes) -> DecodedFrame:
    """Return the samples of a JPEG-LS codestream, whatever its interleave mode is."""
    codestream = codestreams.jpeg(data)
    codestream.check(description)
    decoded = imagecodecs.jpegls_decode(data)
    return DecodedFrame(
        samples=samples_of(description, decoded, codestream.precision),
        photometric=native.decoded_photometric(description),
    )


def encode(description: PixelDescription, frame: DecodedFrame) -> EncodedFrame:
    """Return a lossless codestream with as many bits as Bits Allocated, interleaved by sample.

    JPEG-LS has no signed samples. With all bits of Bits Allocated, a decoder that ignores Bits Stored sees the signs.
    """
    data = bytes(imagecodecs.jpegls_encode(unsigned(frame.samples)))
    # The encoder writes a header of a JPEG-LS file (SPIFF) before the frame. It would call all images RGB.
    data = _START_OF_IMAGE + data[data.index(_START_OF_FRAME) :]
    return EncodedFrame(data=data, photometric=frame.photometric, planar=False)
