"""A `Table` in memory, without durability: the base of the model of DynamoDB, fast enough for millions of writes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from threading import RLock

import orjson

from app.engines.changes import check_items, check_keys, check_plain, check_range, check_total
from app.errors import Conflict
from app.storage.table.ports import (
    ALL,
    Absent,
    Add,
    Change,
    Delete,
    Expectation,
    Holds,
    Item,
    Key,
    PlainChange,
    Present,
    Put,
    Range,
)


class MemoryTable:
    """A `Table` for any number of threads of one process. Items must not be changed after they are put."""

    def __init__(self) -> None:
        self._items: dict[str, dict[str, Item]] = {}
        self._sorted: dict[str, list[str]] = {}
        self._lock = RLock()

    def get(self, key: Key) -> Item | None:
        return self._items.get(key.pk, {}).get(key.sk)

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        return [self.get(key) for key in keys]

    def query(
        self, pk: str, between: Range = ALL, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[Item]:
        check_range(between)
        with self._lock:
            found = self._in_range(pk, between)
            items = self._items.get(pk, {})
            ordered = [items[sk] for sk in (reversed(found) if reverse else found)][:limit]
        yield from ordered

    def count(self, pk: str, between: Range = ALL) -> int:
        check_range(between)
        with self._lock:
            return len(self._in_range(pk, between))

    def items(self, after: Key | None = None) -> Iterator[Item]:
        with self._lock:
            keys = sorted(Key(pk, sk) for pk, items in self._items.items() for sk in items)
        for key in keys:
            item = self.get(key)
            if item and (after is None or key > after):
                yield item

    def write(self, *changes: Change, before: Sequence[PlainChange] = (), after: Sequence[Delete] = ()) -> None:
        check_keys(changes)
        check_plain((*changes, *before, *after), before, after)
        check_total(len(change.item.data) for change in changes if isinstance(change, Put))
        self._run((*before, *changes, *after))

    def write_each(self, changes: Iterable[PlainChange], *, durable: bool = True) -> None:
        plain = tuple(changes)
        check_plain(plain, plain)
        self._run(plain)

    def add(self, key: Key, counter: str, by: int) -> int:
        with self._lock:
            self._add(Add(key, {counter: by}))
            return int(self._items[key.pk][key.sk].fields[counter])

    def _run(self, changes: Sequence[Change]) -> None:
        check_items((each.key, len(each.item.data)) for each in changes if isinstance(each, Put))
        with self._lock:
            for change in changes:
                if change.expect is not None and not _is_met(change.expect, self.get(change.key)):
                    raise Conflict(change.key)
            for change in changes:
                match change:
                    case Put(item):
                        self._put(item)
                    case Delete(key):
                        self._delete(key)
                    case Add():
                        self._add(change)

    def _in_range(self, pk: str, between: Range) -> list[str]:
        found = self._sorted.get(pk, [])
        high = bisect_right(found, between.high) if between.high else len(found)
        return found[bisect_left(found, between.low) : high]

    def _put(self, item: Item) -> None:
        items = self._items.setdefault(item.key.pk, {})
        if item.key.sk not in items:
            insort(self._sorted.setdefault(item.key.pk, []), item.key.sk)
        items[item.key.sk] = item._replace(fields=orjson.loads(orjson.dumps(item.fields)))

    def _delete(self, key: Key) -> None:
        if self._items.get(key.pk, {}).pop(key.sk, None):
            found = self._sorted[key.pk]
            del found[bisect_left(found, key.sk)]

    def _add(self, change: Add) -> None:
        item = self.get(change.key) or Item(change.key, {})
        sums = {counter: item.fields.get(counter, 0) + number for counter, number in change.by.items()}
        self._put(item._replace(fields={**item.fields, **sums}))


def _is_met(expectation: Expectation, item: Item | None) -> bool:
    match expectation:
        case Absent():
            return item is None
        case Present():
            return item is not None
        case Holds(field, value):
            held = None if item is None else item.fields.get(field)
            return type(held) is type(value) and held == value
