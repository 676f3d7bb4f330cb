"""The log of commits: one record for each write that creates, changes or removes instances (conformance §10.5).

A record has two states:

* An *open* record is written before the first blob of a commit. It names what the sweep must remove if the commit never
  happens. Its field `fence` is a number that the commit expects.
* A *committed* record replaces it in the transaction of the commit. It has the entries for the change feed and the
  change of the statistics. A commit that stores no blob puts a committed record without an open one.

`FeedLog.sequence` moves committed records into the change feed and removes them. So the log only holds what is new.

A kill -9 after an open record leaves a record that becomes due after `OPEN_SECONDS`. A kill -9 after the transaction
leaves a committed record, which the next reader of the feed moves.

The records are spread over several partition keys. So commits that run at the same time do not wait for each other.

**The fence.** A commit reads the extended query tags after it has opened its record. A change of the tags calls
`fence_open` afterwards, which raises the fence of every open record. A commit with such a record conflicts. It reads
its record, the rows and the tags anew and tries again. A record that `fence_open` did not see was opened later, so its
commit has read the new tags.
"""

from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from app.errors import Conflict
from app.storage.records.contents import Contents
from app.storage.records.instance_row import InstanceRow
from app.storage.records.leftovers import Leftovers
from app.storage.records.packed_documents import pack, unpack
from app.storage.table import clock, keys
from app.storage.table.codec import DamagedRecord
from app.storage.table.partitions import Partition
from app.storage.table.ports import Absent, Holds, Item, Key, Put, Table

OPEN_SECONDS: Final = 3600
"""The longest time from the open record of a commit to its transaction."""

_numbers: Final = itertools.count()

TAKEN: Final = -1
"""The fence of an open record that the sweep has taken. The commit must give up."""


class CommittedEntry(NamedTuple):
    """One change of an instance. `action` is Create, Update or Delete.

    `watermark` names the version in question. `created` is as in `InstanceRow`: it tells an instance from one of the
    same UID that was stored after its deletion.
    """

    study: str
    series: str
    instance: str
    action: str
    watermark: int
    created: int

    @staticmethod
    def of(row: InstanceRow, action: str) -> CommittedEntry:
        """Return the entry of an action on the version that a row has as the current one."""
        return CommittedEntry(row.study, row.series, row.instance, action, row.watermark, row.created)


class CommittedRecord(NamedTuple):
    """A committed record: when it was committed by the clock of its writer, where, and what it changed."""

    key: Key
    time: str
    partition: int
    partition_name: str
    counted: bool
    contents: Contents
    entries: Sequence[CommittedEntry]


class OpenRecord(NamedTuple):
    """An open record as a commit knows it: its key, and the fence that it was read with."""

    key: Key
    fence: int


class ShardPart(NamedTuple):
    """Committed records of one shard, and whether the shard has more of them."""

    items: list[Item]
    more: bool


MapShards = Callable[[Callable[[int], ShardPart], Iterable[int]], Iterable[ShardPart]]
"""`map`, or a function like it that calls on several threads."""


class CommitLog:
    """Writes and reads the records of commits. One object serves all threads of a process.

    `shards` is the number of partition keys. `map_shards` reads them.
    """

    def __init__(self, table: Table, shards: int = 1, map_shards: MapShards = map) -> None:
        self._table = table
        self.shards = shards
        self._map_shards = map_shards

    # --- open records ---

    def open(self, leftovers: Leftovers) -> OpenRecord:
        """Write an open record before the first blob of a commit. Read the extended query tags after it.

        `leftovers` is what the sweep removes if the commit never happens. A kill -9 after this leaves a record that is
        due after `OPEN_SECONDS`. After a power loss the record may be missing, and blobs of the commit may be there.
        """
        record = OpenRecord(self._new_key(), 0)
        self._table.write_each([Put(_open_item(record, leftovers))], durable=False)
        return record

    def reread(self, record: OpenRecord) -> OpenRecord | None:
        """Return an open record as it is now. None if it is committed, or taken by the sweep.

        Call it after a conflict, and read the rows and the extended query tags after it. If the answer of the
        transaction was lost, the record is committed, and the rows show that.
        """
        item = self._table.get(record.key)
        fence = item.fields.get("fence", TAKEN) if item else TAKEN
        return OpenRecord(record.key, fence) if fence != TAKEN else None

    def fence_open(self) -> None:
        """Raise the fence of every open record. Call it after a change of the extended query tags."""
        for item in self._items():
            if _is_open(item) and item.fields["fence"] != TAKEN:
                raised = item._replace(fields={**item.fields, "fence": item.fields["fence"] + 1})
                try:
                    self._table.write(Put(raised, Holds("fence", item.fields["fence"])))
                except Conflict:
                    continue  # it was committed, taken or fenced after this call read it

    def expired(self, now: float) -> Iterator[Item]:
        """Yield the open records of commits that cannot happen any more. Their data is a packed `Leftovers`.

        `now` is in seconds since 1970. The sweep first sets the fence of a record to `TAKEN`, on the condition that it
        holds the fence that was read. The shards come in a random order, so several workers seldom meet at one record.
        """
        due = keys.started_by(int(1000 * (now - OPEN_SECONDS)))
        for shard in random.sample(range(self.shards), self.shards):
            yield from filter(_is_open, self._table.query(keys.log(shard), due))

    # --- committed records ---

    def committed(
        self,
        partition: Partition,
        entries: Iterable[CommittedEntry],
        contents: Contents,
        record: OpenRecord | None = None,
    ) -> Put:
        """Return the change that records a commit. It belongs into the transaction of the commit.

        It replaces an open record, and conflicts if that is gone or its fence was raised. Without an open record it is
        a new one. `contents` is the difference that the commit makes to the partition.
        """
        fields = {
            "time": clock.timestamp(clock.now()),
            "partition": partition.key,
            "name": partition.name,
            "counted": partition.counted,
            **contents._asdict(),
        }
        item = Item(record.key if record else self._new_key(), fields, pack(msgspec.json.encode(list(entries))))
        return Put(item, Holds("fence", record.fence) if record else Absent())

    def waiting(self, limit: int) -> list[ShardPart]:
        """Return the committed records of each shard in the order of their keys, `limit` in each shard at most.

        The shards are read one after the other or at the same time. So a record may be missing although one that was
        committed later is there.
        """
        return list(self._map_shards(lambda shard: self._read(shard, limit), range(self.shards)))

    def _read(self, shard: int, limit: int) -> ShardPart:
        committed = filter(is_committed, self._table.query(keys.log(shard)))
        items = list(islice(committed, limit + 1))
        return ShardPart(items[:limit], len(items) > limit)

    def _items(self) -> Iterator[Item]:
        for shard in range(self.shards):
            yield from self._table.query(keys.log(shard))

    def _new_key(self) -> Key:
        """Return a key. Those of one process sort in the order of the calls if its clock does not go back."""
        record = f"{next(_numbers):08x}{uuid.uuid4().hex[:12]}"
        return keys.log_record(random.randrange(self.shards), int(1000 * clock.now()), record)  # noqa: S311 - load


def is_committed(item: Item) -> bool:
    """Return whether a record of the log is committed."""
    return "time" in item.fields


def committed_record(item: Item) -> CommittedRecord:
    """Return what a committed record says. Raises `DamagedRecord` if it cannot be read."""
    fields: dict[str, Any] = item.fields
    try:
        return CommittedRecord(
            item.key,
            fields["time"],
            fields["partition"],
            fields["name"],
            fields["counted"],
            Contents(*(fields[name] for name in Contents._fields)),
            msgspec.json.decode(unpack(item.data), type=list[CommittedEntry]),
        )
    except (KeyError, msgspec.MsgspecError) as error:
        raise DamagedRecord from error


def _open_item(record: OpenRecord, leftovers: Leftovers) -> Item:
    return Item(record.key, {"fence": record.fence}, leftovers.pack())


def _is_open(item: Item) -> bool:
    return "fence" in item.fields
