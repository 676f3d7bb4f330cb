"""Lookup tables: the sequences and elements that list an output for each input (PS3.3 C.11.1.1, C.11.2.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.dicom.encoding.attribute_reader import AttributeReader

LUT_DESCRIPTOR: Final = 0x00283002
LUT_DATA: Final = 0x00283006
_DESCRIPTOR: Final = Struct("<3H")

_BLOCK: Final = 1 << 16
"""How many samples are looked up at once. The indexes of a block stay in the cache of the processor."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LookupTable:
    """`entries[i]` is the output for the input `first + i`. Inputs outside have the output of the nearest entry.

    `entries` are one or more numbers of `bits` bits.
    """

    first: int
    entries: NDArray[np.uint16]
    bits: int

    @property
    def key(self) -> tuple[int, int, bytes]:
        """Equal for equal tables."""
        return self.first, self.bits, self.entries.tobytes()

    @property
    def largest(self) -> int:
        """The largest output that the bits of the table permit."""
        return (1 << self.bits) - 1

    def outputs(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the outputs for the nearest integers of `values`."""
        with np.errstate(all="ignore"):
            places = np.clip(np.rint(np.nan_to_num(values) - self.first), 0, self.entries.size - 1)
        outputs: NDArray[np.float64] = self.entries[places.astype(np.intp)].astype(np.float64)
        return outputs

    def spread(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the outputs for shares from 0 (the first entry) to 1 (the last entry), on the scale 0 to 1."""
        outputs: NDArray[np.float64] = self.outputs(shares * (self.entries.size - 1) + self.first) / self.largest
        return outputs


@dataclass(frozen=True, slots=True)
class Descriptor:
    """The number of entries, the first input and the bits of an entry of a lookup table."""

    entries: int
    first: int
    bits: int


def read_descriptor(attributes: AttributeReader, tag: int, *, signed: bool) -> Descriptor | None:
    """Return a descriptor, None if it has fewer than three numbers. `signed`: inputs can be negative.

    The words are read without regard to the VR, which files with implicit VRs do not have. 0 entries mean 65536.
    """
    data = attributes.data(tag)
    if len(data) < 6:
        return None
    entries, first, bits = _DESCRIPTOR.unpack_from(data)
    return Descriptor(entries or 1 << 16, first - (1 << 16) if signed and first >= 1 << 15 else first, bits)


def read_table(item: AttributeReader, *, signed: bool) -> LookupTable | None:
    """Return the table of an item of a LUT sequence, None if it has no entries."""
    descriptor = read_descriptor(item, LUT_DESCRIPTOR, signed=signed)
    if descriptor is None:
        return None
    entries = read_entries(item.data(LUT_DATA), descriptor)
    if not entries.size:
        return None
    bits = descriptor.bits if 1 <= descriptor.bits <= 16 else 1
    return LookupTable(first=descriptor.first, entries=entries, bits=max(bits, int(entries.max()).bit_length()))


def read_entries(data: bytes, descriptor: Descriptor) -> NDArray[np.uint16]:
    """Return the entries in `data`: one byte each if they fit so exactly, otherwise words. No more than described."""
    if descriptor.bits <= 8 and len(data) - descriptor.entries in (0, 1):
        entries = np.frombuffer(data, np.uint8).astype(np.uint16)
    else:
        entries = np.frombuffer(data[: len(data) // 2 * 2], "<u2").astype(np.uint16)
    return entries[: descriptor.entries]


def look_up(table: NDArray[Any], samples: NDArray[Any]) -> NDArray[Any]:
    """Return `table[sample]` for each sample: `(*samples.shape, *table.shape[1:])`.

    `samples` have 8 or 16 bits. Negative samples count from the end of the table, as in two's complement. The table has
    an entry for each value of their type.
    """
    unsigned = np.ascontiguousarray(samples).view(np.dtype(f"u{samples.dtype.itemsize}")).reshape(-1)
    found = np.empty((unsigned.size, *table.shape[1:]), table.dtype)
    indexes = np.empty(min(_BLOCK, unsigned.size), np.intp)
    for start in range(0, unsigned.size, _BLOCK):
        block = unsigned[start : start + _BLOCK]
        np.copyto(indexes[: block.size], block)
        np.take(table, indexes[: block.size], axis=0, out=found[start : start + _BLOCK], mode="clip")
    return found.reshape(*samples.shape, *table.shape[1:])


def possible_values(dtype: np.dtype[Any]) -> NDArray[np.float64]:
    """Return each value of an integer type of 8 or 16 bits, at the place where `look_up` looks for it."""
    return np.arange(1 << 8 * dtype.itemsize, dtype=f"u{dtype.itemsize}").view(dtype).astype(np.float64)
