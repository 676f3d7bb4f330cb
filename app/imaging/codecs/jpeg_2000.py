"""JPEG 2000 and High-Throughput JPEG 2000 (PS3.5 §8.2)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import imagecodecs
import numpy as np

from app.imaging.codecs import codestreams
from app.imaging.codecs.integers import needed_bits, samples_of
from app.imaging.pixels import native
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import DecodedFrame, EncodedFrame, Samples

_COLOUR_TRANSFORMS: Final = ("YBR_RCT", "YBR_ICT")
_PRECISIONS_OFFSET: Final = 42
_SIGNED: Final = 0x80


def decode(description: PixelDescription, data: bytes) -> DecodedFrame:
    """Return the samples of a JPEG 2000 codestream. The codec undoes the colour transform: samples are RGB then."""
    return _decoded(description, data, imagecodecs.jpeg2k_decode)


def decode_high_throughput(description: PixelDescription, data: bytes) -> DecodedFrame:
    """Return the samples of an HTJ2K codestream. The codec undoes the colour transform: samples are RGB then."""
    with _ignored_errors() as errors:
        decoded = _decoded(description, data, imagecodecs.htj2k_decode)
    if errors:
        raise RuntimeError(str(errors[0]))
    return decoded


def _decoded(description: PixelDescription, data: bytes, codec: Callable[..., Any]) -> DecodedFrame:
    data = codestreams.jpeg_2000_codestream(data)
    codestream = codestreams.jpeg_2000(data)
    codestream.check(description)
    decoded = codec(data, planar=False, out=_zeros(description, codestream))
    photometric = native.decoded_photometric(description)
    return DecodedFrame(
        samples=samples_of(description, decoded, codestream.precision),
        photometric="RGB" if photometric in _COLOUR_TRANSFORMS else photometric,
    )


@contextmanager
def _ignored_errors() -> Iterator[list[BaseException | None]]:
    """Yield a list that collects the errors that Python prints and ignores.

    imagecodecs ignores an error of OpenJPH in the middle of a frame. It returns the rows before the error.
    """
    errors: list[BaseException | None] = []
    previous = sys.unraisablehook
    sys.unraisablehook = lambda ignored: errors.append(ignored.exc_value)
    try:
        yield errors
    finally:
        sys.unraisablehook = previous


def _zeros(description: PixelDescription, codestream: codestreams.Codestream) -> Samples:
    """Return the array that a codec decodes into.

    A codec that misses an error leaves samples as they were. Memory that is not cleared may hold another image.
    """
    size = next(size for size in (1, 2, 4) if codestream.precision <= 8 * size)
    return np.zeros(native.shape(description), f"{'i' if codestream.signed else 'u'}{size}")


def encode(description: PixelDescription, frame: DecodedFrame) -> EncodedFrame:
    """Return a lossless JPEG 2000 codestream. RGB gets the reversible colour transform (YBR_RCT)."""
    transformed = frame.photometric == "RGB"
    data = imagecodecs.jpeg2k_encode(
        np.ascontiguousarray(frame.samples),
        codecformat="J2K",
        reversible=True,
        planar=False,
        mct=transformed,
        bitspersample=needed_bits(description, frame.samples),
    )
    return _encoded(frame, bytes(data), transformed)


def encode_high_throughput(description: PixelDescription, frame: DecodedFrame) -> EncodedFrame:
    """Return a lossless HTJ2K codestream. RGB gets the reversible colour transform (YBR_RCT)."""
    transformed = frame.photometric == "RGB"
    precision = needed_bits(description, frame.samples)
    samples = _at_full_precision(frame.samples, precision)
    data = bytearray(imagecodecs.htj2k_encode(samples, reversible=True, planar=False, rgb=transformed))
    for component in range(description.samples):
        sign = data[_PRECISIONS_OFFSET + 3 * component] & _SIGNED
        data[_PRECISIONS_OFFSET + 3 * component] = sign | (precision - 1)
    return _encoded(frame, bytes(data), transformed)


def _at_full_precision(samples: Samples, precision: int) -> Samples:
    """Return samples that have the same wavelet coefficients at the precision of their words.

    The codec encodes at the precision of the words: it subtracts half of that range from unsigned samples. A decoder
    adds half of the range that the header declares.
    """
    bits = 8 * samples.dtype.itemsize
    if samples.dtype.kind == "i" or precision == bits:
        return np.ascontiguousarray(samples)
    moved: Samples = samples + samples.dtype.type((1 << (bits - 1)) - (1 << (precision - 1)))
    return moved


def _encoded(frame: DecodedFrame, data: bytes, transformed: bool) -> EncodedFrame:
    return EncodedFrame(data=data, photometric="YBR_RCT" if transformed else frame.photometric, planar=False)
