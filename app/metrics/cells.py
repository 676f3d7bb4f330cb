"""The memory of the values of one process: an array of numbers with names. Another process can read it at any time.

The first 8 bytes are the number of bytes in use. Then there are records: the length of the name, the number of values,
the name (padded to 8 bytes), the values as doubles. A record is appended before the bytes in use are raised. So a
kill -9 at any point leaves whole records, and at worst the last addition is missing.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from threading import Lock
from typing import Final

SIZE: Final = 512 * 1024
"""Bytes of the memory. There is room for several thousand values. Values beyond that are not counted."""

_SPARE: Final = 64
"""Doubles at the end that take the values for which there is no room. Nobody reads them."""

_USED: Final = struct.Struct("<Q")
_RECORD: Final = struct.Struct("<II")

Name = tuple[str, ...]
"""The name of a metric, then the values of its labels."""


class Cells:
    """The values of one process. `numbers` has them all, and `lock` protects them from other threads."""

    def __init__(self, memory: mmap) -> None:
        """Continue with the values that the memory has. A memory of zeros has none."""
        self.lock: Final = Lock()
        self.memory: Final = memory
        self.numbers: Final = memoryview(memory).cast("d")
        if not _USED.unpack_from(memory)[0]:
            _USED.pack_into(memory, 0, _USED.size)
        self.places: Final = {name: place for name, place, _ in _records(memory[:])}

    def place(self, name: Name, count: int) -> int:
        """Return the index in `numbers` of the first of `count` values of this name. The caller holds `lock`."""
        known = self.places.get(name)
        if known is not None:
            return known
        encoded = json.dumps(name).encode()
        padded = encoded + b" " * (-len(encoded) % 8)
        used: int = _USED.unpack_from(self.memory)[0]
        start = used + _RECORD.size + len(padded)
        if start + 8 * count > SIZE - 8 * _SPARE:
            return SIZE // 8 - _SPARE
        self.memory[used:start] = _RECORD.pack(len(padded), count) + padded
        self.memory[start : start + 8 * count] = bytes(8 * count)
        _USED.pack_into(self.memory, 0, start + 8 * count)
        self.places[name] = start // 8
        return start // 8


def in_memory() -> Cells:
    """Return cells that no other process sees. A forked process gets a copy."""
    return Cells(mmap(-1, SIZE, flags=MAP_PRIVATE | MAP_ANONYMOUS))


def values(content: bytes) -> Iterator[tuple[Name, list[float]]]:
    """Yield the names and values in a copy of the memory of a process."""
    for name, place, count in _records(content):
        yield name, list(struct.unpack_from(f"{count}d", content, 8 * place))


def _records(content: bytes) -> Iterator[tuple[Name, int, int]]:
    """Yield (name, index of the first value, number of values) of each record."""
    used = min(_USED.unpack_from(content)[0], len(content)) if len(content) >= _USED.size else 0
    at = _USED.size
    while at < used:
        length, count = _RECORD.unpack_from(content, at)
        start = at + _RECORD.size + length
        try:
            name = tuple(json.loads(content[at + _RECORD.size : start]))
        except ValueError:  # a damaged disk: the other files still count
            return
        if start + 8 * count > used:
            return
        yield name, start // 8, count
        at = start + 8 * count
