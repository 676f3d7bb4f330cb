"""Segmented palettes: entries that are described by runs and lines (PS3.3 C.7.9.2)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.rendering.lookup_table import Descriptor

_DISCRETE: Final = 0
_LINEAR: Final = 1
_INDIRECT: Final = 2


def expanded(data: bytes, descriptor: Descriptor) -> NDArray[np.uint16]:
    """Return the entries of segmented data, at most as many as described.

    Segments from the first one that is damaged are left out. Segments are bytes if an entry has 8 bits.
    """
    # A segment makes one entry at least and needs no more than four words, so longer data has segments without entries.
    data = data[: descriptor.entries * 8]
    if descriptor.bits <= 8:
        words = np.frombuffer(data, np.uint8).astype(np.uint16)
    else:
        words = np.frombuffer(data[: len(data) // 2 * 2], "<u2").astype(np.uint16)
    return _Expansion(words, descriptor.bits <= 8, descriptor.entries).run()


class _Expansion:
    def __init__(self, words: NDArray[np.uint16], narrow: bool, limit: int) -> None:
        self._words = words
        self._offset_words = 4 if narrow else 2
        self._offset_bits = 8 if narrow else 16
        self._limit = limit
        self._entries: list[NDArray[np.uint16]] = []
        self._count = 0

    def run(self) -> NDArray[np.uint16]:
        position = 0
        while self._count < self._limit and position + 2 <= self._words.size:
            code, length = int(self._words[position]), int(self._words[position + 1])
            if code == _INDIRECT:
                end = position + 2 + self._offset_words
                if end > self._words.size or not self._copies(self._offset(position + 2), length):
                    break
                position = end
                continue
            after = self._segment(position)
            if after is None:
                break
            position = after
        entries = np.concatenate(self._entries) if self._entries else np.empty(0, np.uint16)
        return entries[: self._limit]

    def _offset(self, position: int) -> int:
        words = self._words[position : position + self._offset_words]
        return sum(int(word) << (self._offset_bits * index) for index, word in enumerate(words))

    def _copies(self, offset: int, segments: int) -> bool:
        """Append the segments that begin at a byte of the data. They may not refer to others. False if damaged."""
        position = offset // (self._offset_bits // 8)
        for _ in range(segments):
            if self._count >= self._limit:
                return True
            after = self._segment(position)
            if after is None:
                return False
            position = after
        return True

    def _segment(self, position: int) -> int | None:
        """Append a discrete or linear segment. Return the position after it, None if it is damaged."""
        if position + 2 > self._words.size:
            return None
        code, length = int(self._words[position]), int(self._words[position + 1])
        size = {_DISCRETE: length, _LINEAR: 1}.get(code)
        start = position + 2
        if not size or start + size > self._words.size or (code == _LINEAR and not length):
            return None
        line = code == _LINEAR
        found = self._line(int(self._words[start]), length) if line else self._words[start : start + length]
        self._entries.append(found)
        self._count += found.size
        return start + size

    def _line(self, last: int, length: int) -> NDArray[np.uint16]:
        """Return a line from the previous entry, which it leaves out, to `last`."""
        first = int(self._entries[-1][-1]) if self._entries else 0
        return np.rint(np.linspace(first, last, length + 1)[1:]).astype(np.uint16)
