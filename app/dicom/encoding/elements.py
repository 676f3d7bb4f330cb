"""Data elements of a file, and the encodings of datasets (PS3.5 §7, Annex A)."""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple, Protocol

Buffer = bytes | bytearray | memoryview | mmap.mmap
"""Random-access bytes: a small upload, a view of one, or a mapped file."""

UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Fragments:
    """Encapsulated data: offsets and lengths of its basic offset table and fragments, in bytes (PS3.5 §A.4)."""

    table_offset: int
    table_length: int
    starts: array[int]
    sizes: array[int]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LargeValue:
    """A value that is too long to load: `length` bytes at `offset` of `data`."""

    data: Buffer
    offset: int
    length: int

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes of the value from `start` to before `stop`."""
        return bytes(self.data[self.offset + start : self.offset + min(stop, self.length)])


class LargeSequence(Protocol):
    """The items of a sequence that is too long to keep in memory. Each iteration reads them from the file again."""

    def __iter__(self) -> Iterator[SequenceItem]: ...


class RawElement(NamedTuple):
    """One data element of a file.

    `value` is the raw bytes. For SQ it is a tuple of items, or `LargeSequence` if the items need more than about 1 MiB.
    For encapsulated data it is `Fragments`, for a very long value `LargeValue`. It is None for bulk VRs, which are
    never loaded. `offset` and `length` say where the value is in the file, in bytes, with its closing delimiter if it
    has one.
    """

    tag: int
    vr: str
    value: bytes | tuple[SequenceItem, ...] | LargeSequence | LargeValue | Fragments | None
    offset: int
    length: int

    @property
    def items(self) -> tuple[SequenceItem, ...] | LargeSequence | None:
        """The items of a sequence, None for other elements."""
        value = self.value
        return None if value is None or isinstance(value, bytes | LargeValue | Fragments) else value


SequenceItem = tuple[RawElement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """The encoding of a dataset: explicit or implicit VRs, byte order, and the structs of its headers."""

    explicit: bool
    little: bool
    header: Struct
    number: Struct
    item: Struct


def _encoding(explicit: bool, little: bool) -> Encoding:
    order = "<" if little else ">"
    header = Struct(order + ("HH2sH" if explicit else "HHL"))
    return Encoding(
        explicit=explicit, little=little, header=header, number=Struct(order + "L"), item=Struct(order + "HHL")
    )


ENCODINGS: Final = {
    (explicit, little): _encoding(explicit, little) for explicit in (True, False) for little in (True, False)
}
IMPLICIT: Final = ENCODINGS[False, True]
