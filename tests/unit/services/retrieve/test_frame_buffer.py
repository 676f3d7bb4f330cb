"""Chunks of a frame are not collected: the allocator would keep their memory for each thread."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

from app.dicom.encoding.frames import FrameTable
from app.dicom.encoding.uids import EXPLICIT_LITTLE
from app.services.retrieve.frames import FrameReader
from tests.support.instances import EXPLICIT_BIG


class Chunk(bytearray):
    """Bytes that tell whether they are still in memory."""


class Files:
    """A file whose chunks are watched."""

    def __init__(self) -> None:
        self.chunks_read: list[weakref.ref[Chunk]] = []
        self.most_alive = 0

    def chunks(self, row: object, start: int, length: int) -> Iterator[bytes]:
        for position in range(start, start + length, 100):
            self.most_alive = max(self.most_alive, sum(read() is not None for read in self.chunks_read))
            chunk = Chunk(bytes([position // 100]) * min(100, start + length - position))
            self.chunks_read.append(weakref.ref(chunk))
            yield cast(bytes, chunk)
            del chunk


def test_chunks_of_a_frame_are_not_collected() -> None:
    files = Files()
    reader = FrameReader(cast(Any, None), cast(Any, files), cast(Any, None))
    table = FrameTable(frames=2, start=1000, frame_bits=950 * 8)
    frame = reader.frame(cast(Any, None), table, 1)
    assert frame == b"".join(bytes([10 + number]) * min(100, 950 - number * 100) for number in range(10))
    assert files.most_alive <= 1


def test_a_frame_in_big_endian_is_swapped_while_it_is_read() -> None:
    files = Files()
    reader = FrameReader(cast(Any, None), cast(Any, files), cast(Any, None))
    table = FrameTable(frames=1, start=1000, frame_bits=950 * 8, word=2)
    row = SimpleNamespace(native=(1, 1000, 950 * 8, 2), transfer_syntax=EXPLICIT_BIG)
    (part,) = reader.read(cast(Any, row), [1], EXPLICIT_LITTLE).parts
    chunks = list(part.chunks)
    assert len(chunks) == 10
    assert part.length == sum(map(len, chunks)) == 950
    assert b"".join(chunks) == reader.frame(cast(Any, row), table, 1)
