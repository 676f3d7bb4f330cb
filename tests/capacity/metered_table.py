"""A `Table` that counts the units of another one, by key, and refuses what a key of DynamoDB does not take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.errors import Throttled
from app.storage.table.ports import ALL, Add, Change, Delete, Item, Key, PlainChange, Put, Range, Table
from tests.capacity.units import key_size, query_units, read_units, size_of, write_units

KEY_WRITES: Final = 1000
"""Write units that one partition key takes each second. DynamoDB can spread a key over more machines only if its writes
do not all go to the end of its sort keys."""

KEY_READS: Final = 3000
"""Read units that one partition key takes each second."""

_KEYS_OF_A_CALL: Final = 100
"""Keys in one BatchGetItem."""


@dataclass(slots=True)
class Meter:
    """What was counted so far. `calls` are by operation, units by partition key."""

    calls: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    reads: Counter[str] = field(default_factory=Counter)

    @property
    def write_units(self) -> int:
        return self.writes.total()

    @property
    def read_units(self) -> int:
        return self.reads.total()


class MeteredTable:
    """A `Table` that counts in `meter`. A test may replace the meter to count from 0 again."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.meter = Meter()

    def get(self, key: Key) -> Item | None:
        (item,) = self.get_many([key])
        return item

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        found = self._table.get_many(keys)
        by_key = dict(zip(keys, found, strict=True))
        self.meter.calls["get"] += -(-len(by_key) // _KEYS_OF_A_CALL)
        for key, item in by_key.items():
            self.meter.reads[key.pk] += read_units(size_of(item) if item else 0)
        return found

    def query(
        self, pk: str, between: Range = ALL, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[Item]:
        """Yield the items. The units of the whole answer count when the caller has taken the last item, or stops."""
        taken: list[Item] = []
        try:
            for item in self._table.query(pk, between, reverse=reverse, limit=limit):
                taken.append(item)
                yield item
        finally:
            self._read("query", pk, query_units(taken))

    def count(self, pk: str, between: Range = ALL) -> int:
        self._read("count", pk, query_units(self._table.query(pk, between)))
        return self._table.count(pk, between)

    def items(self, after: Key | None = None) -> Iterator[Item]:
        return self._table.items(after)

    def write(self, *changes: Change, before: Sequence[PlainChange] = (), after: Sequence[Delete] = ()) -> None:
        is_plain = len(changes) == 1 and isinstance(changes[0], Put | Delete) and changes[0].expect is None
        units = self._units(changes, transactional=not is_plain) + self._units((*before, *after), transactional=False)
        self._write("write", units, lambda: self._table.write(*changes, before=before, after=after))

    def write_each(self, changes: Iterable[PlainChange], *, durable: bool = True) -> None:
        plain = tuple(changes)
        units = self._units(plain, transactional=False)
        self._write("write_each", units, lambda: self._table.write_each(plain, durable=durable))

    def add(self, key: Key, counter: str, by: int) -> int:
        value = 0

        def act() -> None:
            nonlocal value
            value = self._table.add(key, counter, by)

        self._write("add", [(key.pk, 1)], act)
        return value

    def _units(self, changes: Sequence[Change], *, transactional: bool) -> list[tuple[str, int]]:
        return [(each.key.pk, write_units(self._size(each), transactional=transactional)) for each in changes]

    def _size(self, change: Change) -> int:
        """Return the bytes that count for a change: those of the larger one of the old and the new item."""
        old = self._table.get(change.key)
        before = size_of(old) if old else key_size(change.key)
        match change:
            case Put(item):
                return max(before, size_of(item))
            case Add(_, by):
                return before + 0 if old else before + sum(len(name) + 11 for name in by)
        return before

    def _write(self, operation: str, units: list[tuple[str, int]], act: Callable[[], None]) -> None:
        """Make a write and count it. A write that fails its condition counts too, as on DynamoDB."""
        self.meter.calls[operation] += 1
        for pk, number in units:
            self.meter.writes[pk] += number
        act()

    def _read(self, operation: str, pk: str, units: int) -> None:
        self.meter.calls[operation] += 1
        self.meter.reads[pk] += units


class ThrottledTable(MeteredTable):
    """A `MeteredTable` that refuses a write when one of its keys has used up its units of the present second.

    `now` returns the time of the model in seconds. A key may use what it did not use in the 300 seconds before, as on
    DynamoDB; `burst` is that many seconds. `refused` counts the refused writes by partition key. `peak` has the most
    units that each key was asked for in one second.
    """

    def __init__(self, table: Table, now: Callable[[], float], burst: float = 0) -> None:
        super().__init__(table)
        self._now = now
        self._burst = burst
        self._levels: dict[str, tuple[float, float]] = {}  # units left, and when that was
        self._second = 0
        self._in_second: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()

    def _write(self, operation: str, units: list[tuple[str, int]], act: Callable[[], None]) -> None:
        wanted: Counter[str] = Counter()
        for pk, number in units:
            wanted[pk] += number
        now = self._now()
        if int(now) != self._second:
            self._second, self._in_second = int(now), Counter()
        for pk, number in wanted.items():
            self._in_second[pk] += number
            self.peak[pk] = max(self.peak[pk], self._in_second[pk])
        levels = {pk: self._level(pk, now) for pk in wanted}
        short = [pk for pk, level in levels.items() if level <= 0]  # DynamoDB lets a key go below zero once
        if short:
            self.refused.update(short)
            raise Throttled
        for pk, number in wanted.items():
            self._levels[pk] = (levels[pk] - number, now)
        super()._write(operation, units, act)

    def _level(self, pk: str, now: float) -> float:
        full = KEY_WRITES * max(1.0, self._burst)
        left, then = self._levels.get(pk, (full, now))
        return min(full, left + KEY_WRITES * (now - then))
