"""Threads that make calls at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from app.client.workers import Workers


def test_every_item_has_its_result() -> None:
    workers: Workers[int, int] = Workers(lambda number: number * 2, 4)
    assert sorted(workers.results(range(100))) == [2 * number for number in range(100)]


def test_few_items_wait() -> None:
    done: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            assert number - len(done) <= 5, "more than two items under way, two that wait, and one in hand"
            yield number

    def act(number: int) -> None:
        time.sleep(0.001)
        done.append(number)

    workers: Workers[int, None] = Workers(act, 2)
    assert len(list(workers.results(items()))) == 100


def test_an_error_ends_the_work() -> None:
    done: list[int] = []

    def act(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        done.append(number)
        return number

    workers: Workers[int, int] = Workers(act, 1)
    with pytest.raises(ValueError, match="three"):
        list(workers.results(range(1000)))
    assert done == [0, 1, 2]
    assert workers.stopped.is_set()


def test_calls_under_way_may_end_and_waiting_ones_are_dropped() -> None:
    started, finish = threading.Event(), threading.Event()

    def act(number: int) -> int:
        started.set()
        assert finish.wait(60)
        return number

    def items() -> Iterator[int]:
        yield from (1, 2)
        assert started.wait(60)
        raise KeyboardInterrupt

    workers: Workers[int, int] = Workers(act, 1)
    with pytest.raises(KeyboardInterrupt):
        list(workers.results(items()))
    workers.stop()
    finish.set()
    assert list(workers.last_results(600)) == [1]
