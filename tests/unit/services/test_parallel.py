"""Calls side by side: in order, at once, and nothing left open."""

from __future__ import annotations

from collections.abc import Generator
from io import BytesIO
from threading import Barrier, Event, Semaphore

import pytest

from app.services.parallel import PREFETCHED, parallel_map, prefetch

PATIENCE = 10


def test_calls_are_under_way_at_once_and_come_in_order() -> None:
    together = Barrier(3)

    def call(number: int) -> int:
        together.wait(PATIENCE)
        return -number

    assert list(parallel_map(call, range(3))) == [0, -1, -2]


def test_what_a_call_raises_comes_with_its_result() -> None:
    results = iter(parallel_map(lambda divisor: 6 // divisor, [2, 0, 3]))
    assert next(results) == 3
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_streams_are_opened_while_one_before_them_is_read() -> None:
    opened = [Event() for _ in range(10)]

    def call(number: int) -> BytesIO:
        opened[number].set()
        return BytesIO(bytes([number]))

    streams = prefetch(call, range(10))
    assert next(streams).read() == b"\x00"
    assert all(each.wait(PATIENCE) for each in opened[: PREFETCHED + 1])
    assert not any(each.is_set() for each in opened[PREFETCHED + 1 :])  # no more than a few: memory is bounded
    assert [stream.read()[0] for stream in streams] == list(range(1, 10))


def test_streams_opened_in_vain_are_closed() -> None:
    opened, closed = Semaphore(0), Semaphore(0)

    class Stream(BytesIO):
        def close(self) -> None:
            super().close()
            closed.release()

    def call(_: int) -> Stream:
        opened.release()
        return Stream()

    streams = prefetch(call, range(100))
    assert isinstance(streams, Generator)
    with next(streams):
        assert all(opened.acquire(timeout=PATIENCE) for _ in range(PREFETCHED + 1))
        streams.close()
        assert all(closed.acquire(timeout=PATIENCE) for _ in range(PREFETCHED))
    assert not opened.acquire(blocking=False)


def test_a_stream_that_cannot_be_opened_is_told_of_in_its_turn() -> None:
    streams = prefetch(lambda number: BytesIO() if number != 1 else 1 // 0, range(3))
    next(streams)
    with pytest.raises(ZeroDivisionError):
        next(streams)
