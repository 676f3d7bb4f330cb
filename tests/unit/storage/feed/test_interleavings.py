"""Writers with wrong clocks, sequencers that are killed, and consumers, in random interleavings.

Each process runs up to its next call of the table, and then another one continues. Queries and the parts of a write are
taken apart, as on DynamoDB. So a query may miss what was written while it ran, and a kill leaves parts of a write.
"""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import pytest

from app.engines.embedded.sqlite import SqliteTable
from app.errors import Conflict
from app.storage.feed.entries import FeedEntry
from app.storage.feed.log import CommittedEntry
from app.storage.table import clock
from app.storage.table.ports import ALL, Absent, Change, Delete, Holds, Item, Key, PlainChange, Put, Range, Table
from tests.support.faults import Killed, kill_at
from tests.support.faulty_engine import Faults, FaultyTable
from tests.support.schedule import Schedule
from tests.support.selection import quick
from tests.unit.storage.feed.processes import CLINIC, FeedProcess, change

SHARDS = 3
INSTANCES = range(1, 5)
NOW = 1_800_000_000.0


class StepwiseTable(FaultyTable):
    """A table whose queries and writes consist of several calls."""

    def query(
        self, pk: str, between: Range = ALL, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[Item]:
        if not pk.startswith("log/"):
            yield from super().query(pk, between, reverse=reverse, limit=limit)
            return
        assert not reverse
        while item := next(super().query(pk, between, limit=1), None):
            yield item
            between = Range(f"{item.key.sk} ", between.high)

    def write(self, *changes: Change, before: Sequence[PlainChange] = (), after: Sequence[Delete] = ()) -> None:
        for each in before:
            super().write_each([each])
        super().write(*changes)
        for each in after:
            super().write_each([each])


class World:
    """A table, the processes that use it, and what they were told."""

    def __init__(self, table: SqliteTable, seed: int) -> None:
        self.chance = random.Random(seed)
        self.answered: list[tuple[int, CommittedEntry]] = []
        """The changes that were answered, by the order of their answers."""
        self.pages: list[tuple[Callable[[], list[FeedEntry]], list[FeedEntry]]] = []
        """Closed pages: how to read each again, and what it had."""
        self.schedule = Schedule(lambda waiting: self.chance.choice(waiting))
        self._table = table
        self._ticks = 0
        self._offsets: dict[threading.Thread, float] = {}

    def now(self) -> float:
        """Return the time of the clock of this thread. Each look moves all clocks on."""
        self._ticks += 1
        return NOW + self._ticks / 1000 + self._offsets.get(threading.current_thread(), 0)

    def set_clock(self) -> None:
        """Give this thread a clock that is wrong by up to 30 seconds."""
        self._offsets[threading.current_thread()] = self.chance.uniform(-30, 30)

    def process(self, kill_at_call: int = 0) -> FeedProcess:
        """Return a new process, which is killed at one of its writes."""
        faults = Faults()
        faults.hook = self.schedule.pause
        if kill_at_call:
            faults.add(kill_at(kill_at_call))
        return FeedProcess(cast(Table, StepwiseTable(self._table, faults)), SHARDS)

    # --- what the processes do ---

    def write(self) -> None:
        """Store and delete the same few instances, one or two in a commit. Each answer is followed by a read."""
        self.set_clock()
        process = self.process()
        for _ in range(5):
            try:
                entries = self._commit(process)
            except Conflict:
                continue
            self.answered += [(len(self.answered), entry) for entry in entries]
            found = {_change(entry) for entry in process.feed.by_sequence(0, 1000)}
            assert found >= set(entries), "a read after the answer sees the change"

    def _commit(self, process: FeedProcess) -> list[CommittedEntry]:
        entries: list[CommittedEntry] = []
        changes: list[Change] = []
        for instance in self.chance.sample(INSTANCES, self.chance.choice((1, 1, 2))):
            key = Key("row", str(instance))
            row = process.table.get(key)
            if row is None:
                created = process.table.add(Key("counter", "created"), "value", 1)
                changes.append(Put(Item(key, {"created": created}), Absent()))
                entries.append(change(instance, created=created))
            else:
                created = row.fields["created"]
                changes.append(Delete(key, Holds("created", created)))
                entries.append(change(instance, "Delete", created=created))
        process.table.write(*changes, process.committed(*entries, partition=CLINIC))
        return entries

    def sequence_and_die(self) -> None:
        """Move records into the feed, as processes that are killed again and again."""
        self.set_clock()
        for _ in range(4):
            try:
                self.process(kill_at_call=self.chance.randrange(1, 8)).feed.sequence()
            except Killed:
                continue

    def consume_by_sequence(self) -> None:
        self.set_clock()
        process = self.process()
        found: list[FeedEntry] = []
        for _ in range(8):
            page = process.feed.by_sequence(len(found), 3)
            found += page
            if len(page) == 3:
                self.pages.append((self._by_sequence(len(found) - 3), page))

    def consume_by_time(self) -> None:
        self.set_clock()
        process, read = self.process(), 0
        start = clock.timestamp(clock.now() - 100)
        for _ in range(6):
            page = process.feed.by_time(start=start, end="", offset=read, limit=2)
            read += len(page)
            if len(page) == 2:
                self.pages.append((self._by_time(start, "", read - 2, 2), page))
        end = clock.timestamp(clock.now())
        self.pages.append(
            (self._by_time(start, end, 0, 1000), process.feed.by_time(start=start, end=end, offset=0, limit=1000))
        )

    def _by_sequence(self, after: int) -> Callable[[], list[FeedEntry]]:
        return lambda: FeedProcess(self._table, SHARDS).feed.by_sequence(after, 3)

    def _by_time(self, start: str, end: str, offset: int, limit: int) -> Callable[[], list[FeedEntry]]:
        return lambda: FeedProcess(self._table, SHARDS).feed.by_time(start=start, end=end, offset=offset, limit=limit)


def _change(entry: FeedEntry) -> CommittedEntry:
    return CommittedEntry(
        entry.study, entry.series, entry.instance, entry.action, entry.watermark, created=entry.watermark
    )


@pytest.mark.parametrize("seed", quick(range(8), range(60)))
def test_random_interleavings(table: SqliteTable, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    world = World(table, seed)
    monkeypatch.setattr(clock, "now", world.now)
    operations: dict[str, Callable[[], Any]] = {f"writer {n}": world.write for n in range(4)}
    operations |= {f"sequencer {n}": world.sequence_and_die for n in range(2)}
    operations |= {"by sequence": world.consume_by_sequence, "by time": world.consume_by_time}
    outcomes = world.schedule.run(operations)
    assert {name: outcome for name, outcome in outcomes.items() if outcome is not None} == {}
    last = FeedProcess(table, SHARDS)
    entries = last.feed.by_sequence(0, 1000)
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1)), "numbers have no gaps"
    times = [entry.timestamp for entry in entries]
    assert times == sorted(times), "times never decrease"
    assert sorted(map(_change, entries)) == sorted(entry for _, entry in world.answered), "each change is there once"
    assert last.feed.by_time(start="", end="", offset=0, limit=1000) == entries
    actions: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for entry in entries:
        actions[entry.instance].append((entry.action, entry.watermark))
    for found in actions.values():
        assert [action for action, _ in found] == (["Create", "Delete"] * len(found))[: len(found)]
        assert all(one[1] == other[1] for one, other in zip(found[::2], found[1::2], strict=False))
    for read_again, page in world.pages:
        assert read_again() == page, "a closed page does not change"
    assert last.feed.lag() == 0
