"""NAL units of a byte stream (ITU-T H.264 Annex B)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

BEGIN: Final = 512
"""Bytes of a NAL unit that are kept: more than a parameter set or the header of a slice needs."""

_START: Final = b"\0\0\1"
_MAX_ZEROS: Final = 1024
"""The zeros at the end of a chunk that are looked at again with the next one."""


class NalUnit(NamedTuple):
    """One NAL unit: `length` bytes at `offset` of the stream, of which `begin` is the first ones."""

    offset: int
    length: int
    begin: bytes

    @property
    def type(self) -> int:
        """nal_unit_type (H.264 Table 7-1)."""
        return self.begin[0] & 0x1F


def nal_units(chunks: Iterable[bytes]) -> Iterator[NalUnit]:
    """Yield the NAL units of a stream that comes in chunks, without the zeros after them."""
    buffer, base = b"", 0
    start = -1
    begin = bytearray()
    for chunk in chunks:
        buffer += chunk
        position = 0
        while (found := buffer.find(_START, position)) >= 0:
            if start >= 0:
                _fill(begin, buffer, base, start)
                yield from _unit(start, base + found, begin, buffer, base)
            start, begin = base + found + 3, bytearray()
            position = found + 3
        if start >= 0:
            _fill(begin, buffer, base, start)
        zeros = len(buffer) - len(buffer.rstrip(b"\0"))
        unread = max(position, len(buffer) - max(len(_START) - 1, min(zeros, _MAX_ZEROS)))
        base += unread
        buffer = buffer[unread:]
    if start >= 0:
        yield from _unit(start, base + len(buffer), begin, buffer, base)


def _fill(begin: bytearray, buffer: bytes, base: int, start: int) -> None:
    """Append the bytes of the buffer that are among the first ones of the unit at `start`."""
    begin += buffer[start + len(begin) - base : start + BEGIN - base] if len(begin) < BEGIN else b""


def _unit(start: int, end: int, begin: bytearray, buffer: bytes, base: int) -> Iterator[NalUnit]:
    """Yield the unit between two offsets, unless it is empty."""
    while end > start and end > base and buffer[end - base - 1] == 0:
        end -= 1
    if end > start:
        yield NalUnit(start, end - start, bytes(begin[: end - start]))
