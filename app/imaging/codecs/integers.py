"""From what a codec returns to samples. A codestream may say nothing of signs, or something else than the image."""

from __future__ import annotations

import numpy as np

from app.errors import ImageFailure
from app.imaging.codecs.syntaxes import syntax
from app.imaging.pixels import native
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import Samples


def samples_of(description: PixelDescription, decoded: Samples, precision: int) -> Samples:
    """Return the samples of a codestream of `precision` bits, in the type that the description gives them.

    A lossless codestream with more bits than Bits Stored has whole words: the bits that are not stored are removed. A
    lossy one keeps values that are a little larger than Bits Stored allows, unless High Bit says that it has words.
    If only the description is signed, the samples are two's complement numbers of `precision` bits. If only the
    codestream is signed, `precision` bits of each sample are kept. Raises `ImageFailure` if the samples need more bits
    than Bits Allocated.
    """
    kind = native.container(description)
    if decoded.dtype.kind not in "iu" or decoded.dtype.itemsize > kind.itemsize:
        raise ImageFailure(
            f"The codestream has samples of {8 * decoded.dtype.itemsize} bits; "
            f"Bits Allocated is {description.bits_allocated}."
        )
    samples = decoded.astype(kind, copy=False)
    has_words = precision > description.high_bit >= description.bits_stored
    if has_words or (precision > description.bits_stored and not syntax(description.transfer_syntax).lossy):
        return native.stored_bits(description, samples)
    if (decoded.dtype.kind == "i") == (kind.kind == "i"):
        return samples
    if kind.kind == "i":
        shift = 8 * kind.itemsize - min(precision, description.bits_stored)
        return (samples << shift) >> shift if shift else samples
    return samples & kind.type((1 << precision) - 1) if precision < 8 * kind.itemsize else samples


def unsigned(samples: Samples) -> Samples:
    """Return the samples as unsigned numbers with the same bits."""
    return np.ascontiguousarray(samples).view(f"<u{samples.dtype.itemsize}")


def needed_bits(description: PixelDescription, samples: Samples) -> int:
    """Return Bits Stored, or Bits Allocated if a sample does not fit into Bits Stored.

    Lossy codecs decode samples that are a little too large.
    """
    bits = description.bits_stored
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if samples.dtype.kind == "i" else (0, (1 << bits) - 1)
    fits = samples.size and low <= int(samples.min()) and int(samples.max()) <= high
    return bits if fits else description.bits_allocated
