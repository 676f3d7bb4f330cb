"""A set of whole numbers that are mostly close together, in one bit each."""

from __future__ import annotations

from typing import Final

_BLOCK: Final = 65_536


class NumberSet:
    """A set of numbers from 0 on. A million successive numbers take about 130 KB."""

    def __init__(self) -> None:
        self._blocks: dict[int, bytearray] = {}

    def add(self, number: int) -> None:
        block, position = divmod(number, _BLOCK)
        bits = self._blocks.get(block)
        if bits is None:
            bits = self._blocks[block] = bytearray(_BLOCK // 8)
        bits[position >> 3] |= 1 << (position & 7)

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int):
            return False
        block, position = divmod(number, _BLOCK)
        bits = self._blocks.get(block)
        return bits is not None and bool(bits[position >> 3] >> (position & 7) & 1)
