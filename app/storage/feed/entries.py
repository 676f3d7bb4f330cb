"""The entries of the change feed, and the tombstones between them, as items."""

from __future__ import annotations

from typing import Final

from app.storage.records.rows import InstanceRow
from app.storage.table import keys
from app.storage.table.codec import Record, decode, encode
from app.storage.table.partitions import Partition
from app.storage.table.ports import Item

ITEMS_PER_ENTRY: Final = 2
"""The items that each entry consists of: one by sequence, one by time."""


class FeedEntry(Record, frozen=True, kw_only=True):
    """One change of an instance.

    `action` is Create, Update or Delete. `watermark` is that of the version in question. `timestamp` is as in
    `clock.timestamp`.
    """

    sequence: int
    partition: int
    partition_name: str
    study: str
    series: str
    instance: str
    action: str
    timestamp: str
    watermark: int


def tombstone(number: int) -> Item:
    """Return the item that closes a gap: no entry can be written under the number any more."""
    return Item(keys.feed(number), {"sealed": True})


def new_entry(partition: Partition, row: InstanceRow, *, sequence: int, action: str, timestamp: str) -> FeedEntry:
    """Return the entry of an action on the version of an instance that `row` has as the current one."""
    return FeedEntry(
        sequence=sequence,
        partition=partition.key,
        partition_name=partition.name,
        study=row.study,
        series=row.series,
        instance=row.instance,
        action=action,
        timestamp=timestamp,
        watermark=row.watermark,
    )


def items(entry: FeedEntry) -> tuple[Item, Item]:
    """Return the items of an entry: one by sequence, one by time."""
    fields = encode(entry)
    return (
        Item(keys.feed(entry.sequence), fields),
        Item(keys.feed_time(entry.timestamp, entry.sequence), fields),
    )


def entry_of(item: Item) -> FeedEntry:
    """Return the entry of one of its items."""
    return decode(FeedEntry, item.fields)


def is_tombstone(item: Item) -> bool:
    return "sealed" in item.fields
