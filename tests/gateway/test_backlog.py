"""Which instance is sent next: partitions do not delay each other, and memory is bounded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from app.gateway import backlog
from app.gateway.backlog import Backlog
from app.gateway.spool import Queued


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr(backlog, "time", moved)
    monkeypatch.setattr("random.uniform", lambda _low, high: high)
    return moved


def queued(number: int, partition: str) -> Queued:
    return Queued(f"{number:020d}-00000000-{partition.encode().hex()}.dcm", 10)


def empty() -> Iterator[Queued]:
    return iter(())


def test_a_partition_that_fails_waits_longer_each_time(clock: Clock) -> None:
    waiting = Backlog(empty)
    waiting.add(queued(1, "a"))
    delays = []
    for _ in range(8):
        item = waiting.take()
        assert item is not None
        delays.append(waiting.postpone(item))
        clock.now += delays[-1]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
    item = waiting.take()
    assert item is not None
    waiting.finished(item)
    waiting.add(queued(2, "a"))
    item = waiting.take()
    assert item is not None
    assert waiting.postpone(item) == 1


def test_one_partition_does_not_delay_another(clock: Clock) -> None:
    waiting = Backlog(empty)
    for number, partition in enumerate(["a", "a", "b", "b"]):
        waiting.add(queued(number, partition))
    first = waiting.take()
    assert first is not None
    assert first.partition == "a"
    waiting.postpone(first)
    assert [item.partition for item in (waiting.take(), waiting.take()) if item] == ["b", "b"]


def test_an_instance_that_always_fails_does_not_delay_its_partition(clock: Clock) -> None:
    waiting = Backlog(empty)
    poison, good = queued(1, "a"), queued(2, "a")
    waiting.add(poison)
    waiting.add(good)
    assert waiting.take() == poison
    waiting.postpone(poison)
    clock.now += 1
    assert waiting.take() == good


def test_instances_on_disk_are_read_when_memory_has_none_left(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "KNOWN_LIMIT", 3)
    on_disk = {queued(number, partition) for number, partition in itertools.product(range(10), ["a", "b"])}
    waiting = Backlog(lambda: iter(sorted(on_disk, key=lambda each: each.name)))
    sent = []
    while on_disk:
        item = waiting.take()
        assert item is not None
        on_disk.remove(item)
        waiting.finished(item)
        sent.append(item)
    assert len(sent) == len(set(sent)) == 20


def test_an_instance_that_always_fails_does_not_hide_those_on_disk(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "KNOWN_LIMIT", 3)
    poison = queued(0, "a")
    on_disk = {poison, *(queued(number, "a") for number in range(1, 10))}
    waiting = Backlog(lambda: iter(sorted(on_disk, key=lambda each: each.name)))
    for _ in range(40):
        item = waiting.take()
        assert item is not None
        if item == poison:
            clock.now += waiting.postpone(item)
        else:
            on_disk.remove(item)
            waiting.finished(item)
    assert on_disk == {poison}


def test_a_closed_backlog_gives_nothing(clock: Clock) -> None:
    waiting = Backlog(empty)
    waiting.add(queued(1, "a"))
    waiting.close()
    assert waiting.take() is None
