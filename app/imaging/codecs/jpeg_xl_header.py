"""The size of a JPEG XL image, read before the codec sees it (ISO/IEC 18181-1 §D.2, 18181-2 §4)."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from app.errors import ImageFailure

_SIZE_BITS: Final = (9, 13, 18, 30)
_RATIOS: Final = (1, 1, Fraction(12, 10), Fraction(4, 3), Fraction(3, 2), Fraction(16, 9), Fraction(5, 4), 2)
_HEADER_BYTES: Final = 16
_MAX_BOXES: Final = 1000


class _Bits:
    """Reads bits of a number, from the least significant bit on."""

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data, "little")

    def read(self, count: int) -> int:
        found = self._bits & ((1 << count) - 1)
        self._bits >>= count
        return found


def size(data: bytes) -> tuple[int, int]:
    """Return (rows, columns) of a JPEG XL codestream or file. Raises `ImageFailure` for other data."""
    start = _codestream(data)
    if len(start) < 4:
        raise ImageFailure("The header of the JPEG XL codestream is cut off.")
    bits = _Bits(start[2:])
    in_eights = bool(bits.read(1))
    rows = _length(bits, in_eights)
    ratio = bits.read(3)
    return rows, int(rows * _RATIOS[ratio]) if ratio else _length(bits, in_eights)


def _length(bits: _Bits, in_eights: bool) -> int:
    if in_eights:
        return 8 * (bits.read(5) + 1)
    return bits.read(_SIZE_BITS[bits.read(2)]) + 1


def _codestream(data: bytes) -> bytes:
    """Return the first bytes of the codestream."""
    position = 0
    for _ in range(_MAX_BOXES):
        if data[position : position + 2] == b"\xff\x0a" and position == 0:
            return data[:_HEADER_BYTES]
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        header = 16 if length == 1 else 8
        if length == 1:
            length = int.from_bytes(data[position + 8 : position + 16], "big")
        if kind in (b"jxlc", b"jxlp"):
            position += header + (4 if kind == b"jxlp" else 0)
            if data[position : position + 2] == b"\xff\x0a":
                return data[position : position + _HEADER_BYTES]
            break
        if length < header:
            break
        position += length
    raise ImageFailure("The frame is not a JPEG XL codestream.")
