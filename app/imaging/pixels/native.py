"""Uncompressed frames: bytes to samples, and samples to bytes (PS3.5 §8.1, PS3.3 C.7.6.3.1)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from app.errors import ImageFailure
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import DecodedFrame, EncodedFrame, Samples

_HALVED_COLOUR: Final = ("YBR_FULL_422", "YBR_PARTIAL_422")


def container(description: PixelDescription) -> np.dtype[Any]:
    """Return the type of decoded samples: as many bits as Bits Allocated, signed if the pixels are. Single bits: uint8.

    Words are in little endian.
    """
    if description.floating:
        return np.dtype(f"<f{description.bits_allocated // 8}")
    kind = "i" if description.signed and description.bits_allocated > 1 else "u"
    return np.dtype(f"<{kind}{max(description.bits_allocated, 8) // 8}")


def shape(description: PixelDescription) -> tuple[int, ...]:
    """Return the shape of the decoded samples: (rows, columns), or (rows, columns, samples)."""
    rows_columns = (description.rows, description.columns)
    return rows_columns if description.samples == 1 else (*rows_columns, description.samples)


def decoded_photometric(description: PixelDescription) -> str:
    """Return the photometric interpretation after decoding. Each pixel then has its own colour samples."""
    return "YBR_FULL" if description.photometric == "YBR_FULL_422" else description.photometric


def words(description: PixelDescription, data: bytes) -> Samples:
    """Return the words of a frame as stored: with the bits above High Bit, in the order of the file.

    `data` is one frame in little endian. The result has one dimension. It may be a view of `data`, then it cannot be
    written to. Single bits are one byte each, 0 or 1. Raises `ImageFailure` if there are too few bytes.
    """
    count = description.rows * description.columns * description.samples
    if _is_halved(description, data):
        count = count // 3 * 2
    if description.bits_allocated == 1:
        _check_length(data, (count + 7) // 8)
        return np.unpackbits(np.frombuffer(data, np.uint8), count=count, bitorder="little")
    kind = container(description)
    _check_length(data, count * kind.itemsize)
    return np.frombuffer(data, kind, count)


def decode(description: PixelDescription, data: bytes) -> DecodedFrame:
    """Return the samples of a native frame. Raises `ImageFailure` if there are too few bytes.

    `data` is in little endian, and packed bits start with the least significant bit. Bytes after the frame are ignored.
    """
    stored = stored_bits(description, words(description, data))
    if _is_halved(description, data):
        return DecodedFrame(samples=_full_colour(description, stored), photometric=decoded_photometric(description))
    if description.planar and description.samples > 1:
        planes = stored.reshape(description.samples, description.rows, description.columns)
        stored = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    return DecodedFrame(samples=stored.reshape(shape(description)), photometric=decoded_photometric(description))


def encode(description: PixelDescription, frame: DecodedFrame) -> EncodedFrame:
    """Return samples as a native frame: little endian, colour by pixel, High Bit at Bits Stored - 1.

    Samples of single bits are packed. The bits of the last byte that no pixel uses are 0.
    """
    if description.bits_allocated == 1:
        data = np.packbits(frame.samples.reshape(-1).astype(np.uint8), bitorder="little").tobytes()
    else:
        data = frame.samples.astype(container(description), copy=False).tobytes()
    return EncodedFrame(data=data, photometric=frame.photometric, planar=False)


def _check_length(data: bytes, expected: int) -> None:
    if len(data) < expected:
        raise ImageFailure(f"The frame has {len(data)} bytes. Its description needs {expected}.")


def stored_bits(description: PixelDescription, stored: Samples) -> Samples:
    """Return the values of Bits Stored in words. The other bits of a word may hold anything, e.g. an overlay."""
    allocated, bits, high = description.bits_allocated, description.bits_stored, description.high_bit
    if description.floating or bits >= allocated:
        return stored
    values: Samples
    if description.signed:
        values = (stored << (allocated - 1 - high)) >> (allocated - bits)
    else:
        values = (stored >> (high + 1 - bits)) & stored.dtype.type((1 << bits) - 1)
    return values


def _is_halved(description: PixelDescription, data: bytes) -> bool:
    """Return whether two pixels share their colour samples. Some writers give the name and store all samples."""
    whole = description.rows * description.columns * 3 * description.bits_allocated // 8
    return description.photometric in _HALVED_COLOUR and description.samples == 3 and len(data) < whole


def _full_colour(description: PixelDescription, stored: Samples) -> Samples:
    """Return the samples of Y1 Y2 Cb Cr groups, each group two pixels in a row (PS3.3 C.7.6.3.1.2)."""
    if description.columns % 2:
        raise ImageFailure(f"{description.photometric} needs an even number of columns, not {description.columns}.")
    groups = stored.reshape(-1, 4)
    samples = np.empty((len(groups), 2, 3), stored.dtype)
    samples[:, :, 0] = groups[:, :2]
    samples[:, :, 1:] = groups[:, np.newaxis, 2:]
    return samples.reshape(shape(description))
