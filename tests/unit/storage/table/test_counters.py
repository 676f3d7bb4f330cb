"""Watermarks: unique, ascending in a commit, and reserved in blocks by a process that uses many of them."""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path

import pytest

from app.engines.embedded.sqlite import SqliteTable
from app.storage.table.counters import WatermarkCounter
from app.storage.table.ports import Key


class CountedTable(SqliteTable):
    """A table that counts its additions."""

    additions = 0

    def add(self, key: Key, counter: str, by: int) -> int:
        self.additions += 1
        return super().add(key, counter, by)


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def table(tmp_path: Path) -> CountedTable:
    return CountedTable(tmp_path / "index.sqlite")


def test_a_process_that_is_seldom_busy_reserves_what_it_needs(table: CountedTable) -> None:
    clock = Clock()
    counter, other = WatermarkCounter(table, clock), WatermarkCounter(table, clock)
    assert list(counter.reserve(2)) == [1, 2]
    clock.now += 5
    assert list(other.reserve(1)) == [3]
    assert list(counter.reserve(1)) == [4]
    assert counter.last() == 4


def use(counter: WatermarkCounter, clock: Clock, commits: int) -> list[list[int]]:
    """Reserve two numbers for each of so many commits within a second."""
    found = []
    for _ in range(commits):
        found.append(list(counter.reserve(2)))
        clock.now += 1 / commits
    return found


def test_a_busy_process_writes_the_counter_seldom(table: CountedTable) -> None:
    clock = Clock()
    counter = WatermarkCounter(table, clock)
    use(counter, clock, 100)
    before = table.additions
    numbers = use(counter, clock, 100)
    assert table.additions - before <= 3
    assert all(each == sorted(each) for each in numbers)


def test_numbers_of_several_processes_are_unique(table: CountedTable) -> None:
    clock = Clock()
    counters = [WatermarkCounter(table, clock) for _ in range(3)]
    numbers = list(chain.from_iterable(chain.from_iterable(use(each, clock, 30) for each in counters * 3)))
    assert len(numbers) == len(set(numbers))
    assert max(numbers) <= counters[0].last()


def test_the_rest_of_a_block_is_not_used_after_a_second(table: CountedTable) -> None:
    clock = Clock()
    counter = WatermarkCounter(table, clock)
    use(counter, clock, 50)
    counter.reserve(1)  # the first one of a block
    last = counter.last()
    clock.now += 1.1
    assert counter.reserve(1)[0] > last


def test_a_fork_does_not_use_the_block_of_its_parent(table: CountedTable, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    counter = WatermarkCounter(table, clock)
    use(counter, clock, 50)
    counter.reserve(1)
    last = counter.last()
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    assert counter.reserve(1)[0] > last
