"""Parallel calls: results are in order, and no stream stays open."""

from __future__ import annotations

from collections.abc import Generator
from io import BytesIO
from threading import Barrier, Event, Semaphore
from time import sleep

import pytest

from app.services.parallel import MAX_THREADS, PREFETCHED, parallel_map, prefetch
from app.storage.table import deadline
from app.storage.table.deadline import Deadline, within

TIMEOUT = 60

MOMENT = 0.02
"""Seconds of a call. A thousand of them take more than a second, so they do not all end while this thread waits."""


def test_calls_run_together_and_their_results_are_in_order() -> None:
    together = Barrier(3)

    def call(number: int) -> int:
        together.wait(TIMEOUT)
        return -number

    assert list(parallel_map(call, range(3))) == [0, -1, -2]


def test_an_error_is_raised_at_its_result() -> None:
    results = iter(parallel_map(lambda divisor: 6 // divisor, [2, 0, 3]))
    assert next(results) == 3
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_after_an_error_no_call_begins_and_none_is_left_running() -> None:
    begun: list[int] = []
    ended: list[int] = []
    running, failed = Semaphore(0), Event()

    def call(number: int) -> None:
        begun.append(number)
        if number == 0:
            assert all(running.acquire(timeout=TIMEOUT) for _ in range(MAX_THREADS - 1))
            failed.set()
            raise ZeroDivisionError
        running.release()
        assert failed.wait(TIMEOUT)
        sleep(MOMENT)
        ended.append(number)

    with pytest.raises(ZeroDivisionError):
        list(parallel_map(call, range(1000)))
    assert sorted(ended) == sorted(begun)[1:], "the calls that ran have ended"
    assert len(begun) < 1000, "the calls that had not begun are cancelled"


def test_calls_whose_results_are_not_taken_are_cancelled() -> None:
    begun: list[int] = []

    def call(number: int) -> int:
        begun.append(number)
        sleep(MOMENT)
        return number

    results = parallel_map(call, range(1000))
    assert isinstance(results, Generator)
    assert next(results) == 0
    results.close()
    assert len(begun) < 1000


def test_calls_have_the_deadline_of_their_caller() -> None:
    with within(Deadline(60, lambda: 0)):
        assert list(parallel_map(lambda _: deadline.seconds_left(), range(3))) == [60, 60, 60]
        assert list(prefetch(lambda _: deadline.seconds_left(), range(3))) == [60, 60, 60]


def test_the_next_streams_are_opened_while_one_is_read() -> None:
    opened = [Event() for _ in range(10)]

    def call(number: int) -> BytesIO:
        opened[number].set()
        return BytesIO(bytes([number]))

    streams = prefetch(call, range(10))
    assert next(streams).read() == b"\x00"
    assert all(each.wait(TIMEOUT) for each in opened[: PREFETCHED + 1])
    assert not any(each.is_set() for each in opened[PREFETCHED + 1 :])  # only a few, so that memory is bounded
    assert [stream.read()[0] for stream in streams] == list(range(1, 10))


def test_streams_that_are_not_taken_are_closed() -> None:
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
        assert all(opened.acquire(timeout=TIMEOUT) for _ in range(PREFETCHED + 1))
        streams.close()
        assert all(closed.acquire(timeout=TIMEOUT) for _ in range(PREFETCHED))
    assert not opened.acquire(blocking=False)


def test_an_error_of_opening_is_raised_at_its_stream() -> None:
    streams = prefetch(lambda number: BytesIO() if number != 1 else 1 // 0, range(3))
    next(streams)
    with pytest.raises(ZeroDivisionError):
        next(streams)


def test_results_that_are_not_streams_can_be_left() -> None:
    results = prefetch(lambda number: bytes([number]), range(100))
    assert next(results) == b"\x00"
    results.close()
