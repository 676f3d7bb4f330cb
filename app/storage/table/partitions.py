"""The partitions. The first store or workitem creates one; a partition is never removed (conformance §2.1)."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from heapq import nsmallest
from itertools import chain
from typing import Final

from app.errors import Conflict, StorageUnavailable
from app.storage.table import clock, keys
from app.storage.table.codec import Record, decode, encode
from app.storage.table.ports import ALL, Absent, Item, Put, Range, Table

DEFAULT_NAME: Final = "Microsoft.Default"
DEFAULT_KEY: Final = 1

PartitionFilter = Callable[[str], bool]
"""Returns whether the partition with this name is wanted. Callers may ask many times for one name."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_CACHED: Final = 10_000
_CACHE_SECONDS: Final = 300
_KEY_STEPS: Final = 20
"""Attempts to find a key without files."""

_SORTED: Final = 50_000
"""Partitions that are sorted in memory at once."""


class Partition(Record, frozen=True, kw_only=True, order=True):
    """A unit of isolation: a SOP Instance UID is unique in its partition. `created` is as in `clock.timestamp`.

    `counted` says that the partition has statistics (`index/statistics.py`). Partitions of 0.1.0 have none.
    """

    key: int
    name: str
    created: str
    counted: bool = False


OnCreate = Callable[[Partition], None]
"""Gets a partition after it was created."""


def is_name(name: str) -> bool:
    """Return whether this may name a partition. `.` and `..` may not, because proxies remove them from a path."""
    return bool(_NAME.fullmatch(name)) and name not in (".", "..")


class Partitions:
    """The list of partitions. Names are equal if they differ only in case. The first spelling is kept and returned.

    `created` gets each partition that this object creates, before the caller of `ensure` does. `has_files` returns
    whether there are files of a partition with this key. A new partition does not get such a key: it would show the
    files of a partition that a lost or restored table does not have any more.
    """

    def __init__(
        self,
        table: Table,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        created: OnCreate = lambda _: None,
        has_files: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._has_files = has_files
        self._table = table
        self._created = created
        self._monotonic = monotonic
        self._cache: dict[str, tuple[float, Partition]] = {}
        self._lock = threading.Lock()

    def seed(self) -> Partition:
        """Create the default partition unless it exists. Every start of a process calls this."""
        return self._create(DEFAULT_NAME, DEFAULT_KEY)

    def listed(self) -> list[Partition]:
        """Return all partitions, ordered by their keys."""
        return sorted(_partition(item) for item in self._table.query(keys.PARTITIONS))

    def in_key_order(self, ranges: Sequence[Range] = (ALL,)) -> Iterator[Partition]:
        """Yield the partitions with names in these ranges of lower-case names, in the order of their keys.

        At most `_SORTED` partitions are in memory. If there are more, all of them are read once for each `_SORTED`.
        """
        last = 0
        while True:
            found = chain.from_iterable(self._table.query(keys.PARTITIONS, each) for each in ranges)
            following = (each for each in map(_partition, found) if each.key > last)
            part = nsmallest(_SORTED, following)
            yield from part
            if len(part) < _SORTED:
                return
            last = part[-1].key

    def by_name(self, names: Range, limit: int) -> Iterator[Partition]:
        """Yield at most `limit` partitions in the order of their names. `names` is a range of names in lower case."""
        return map(_partition, self._table.query(keys.PARTITIONS, names, limit=limit))

    def count(self) -> int:
        return self._table.count(keys.PARTITIONS)

    def find(self, name: str) -> Partition | None:
        """Return the partition of this name, or None.

        Only existing partitions are cached, because another process may create a missing one at any time.
        """
        known = self._cache.get(name.lower())
        if known and known[0] > self._monotonic():
            return known[1]
        item = self._table.get(keys.partition(name))
        return self._remember(_partition(item)) if item else None

    def ensure(self, name: str, on_create: OnCreate = lambda _: None) -> Partition:
        """Return the partition of this name, creating it and passing it to `on_create` if there is none.

        One conditional write creates it. If two processes create it at once, one succeeds and the other reads its item.
        A kill -9 before the write leaves a partition key that is never used.
        """
        found = self.find(name)
        if found:
            return found
        return self._create(name, self._new_key(), on_create)

    def _new_key(self) -> int:
        """Return a key that no partition has had. Larger and larger steps pass over keys that have files.

        Raises `StorageUnavailable` if a million keys have files.
        """
        for power in range(_KEY_STEPS):
            key = DEFAULT_KEY + self._table.add(keys.PARTITION_COUNTER, "value", 2**power)
            if not self._has_files(key):
                return key
        raise StorageUnavailable

    def restore(self, partition: Partition) -> Partition:
        """Create a partition with the key and the name that it had, for a table that is made again from the blobs.

        Return the partition of this name, which exists already if another one has the name. New partitions get keys
        above this one. A kill -9 between the two writes leaves a key that is never used.
        """
        counter = self._table.get(keys.PARTITION_COUNTER)
        used = DEFAULT_KEY + (int(counter.fields["value"]) if counter else 0)
        if partition.key > used:
            self._table.add(keys.PARTITION_COUNTER, "value", partition.key - used)
        with suppress(Conflict):
            self._table.write(Put(Item(keys.partition(partition.name), encode(partition)), Absent()))
        item = self._table.get(keys.partition(partition.name))
        return _partition(item) if item else partition

    def _create(self, name: str, key: int, on_create: OnCreate = lambda _: None) -> Partition:
        new = Partition(key=key, name=name, created=clock.timestamp(clock.now()), counted=True)
        item = Item(keys.partition(name), encode(new))
        try:
            self._table.write(Put(item, Absent()))
        except Conflict:
            winner = self._table.get(item.key)
            if winner is None:  # the engine gave up because of other transactions, and none of them created it
                raise
            item = winner
        else:
            self._created(new)
            on_create(new)
        return self._remember(_partition(item))

    def _remember(self, partition: Partition) -> Partition:
        with self._lock:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[partition.name.lower()] = (self._monotonic() + _CACHE_SECONDS, partition)
        return partition


def _partition(item: Item) -> Partition:
    return decode(Partition, item.fields)
