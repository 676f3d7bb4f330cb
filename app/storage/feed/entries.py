"""The entries of the change feed, and the items that hold them.

An item holds a page: up to `PAGE` entries with successive numbers, none of which crosses a multiple of `PAGE`. Archives
of layout 4 or older have items with one entry each, and tombstones under numbers that have no entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from app.storage.records.packed_documents import pack, unpack
from app.storage.table import keys
from app.storage.table.codec import DamagedRecord, Record, decode
from app.storage.table.ports import Item

PAGE: Final = 100
"""The most entries of one item. It divides `keys.FEED_BUCKET`."""


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


class _PageEntry(msgspec.Struct, array_like=True, frozen=True):
    """An entry in a page. Its number follows from its position."""

    partition: int
    partition_name: str
    study: str
    series: str
    instance: str
    action: str
    timestamp: str
    watermark: int


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(list[_PageEntry])


def page_start(number: int) -> int:
    """Return the lowest number of the pages that can have this number."""
    return number - number % PAGE


def pages(entries: Sequence[FeedEntry]) -> Iterator[Item]:
    """Yield the items of entries with successive numbers."""
    at = 0
    while at < len(entries):
        first = entries[at].sequence
        page = entries[at : at + PAGE - first % PAGE]
        data = [_PageEntry(**{name: getattr(each, name) for name in _PageEntry.__struct_fields__}) for each in page]
        yield Item(keys.feed(first), {}, pack(_encoder.encode(data)))
        at += len(page)


def entries_of(item: Item) -> list[FeedEntry]:
    """Return the entries of an item, none for a tombstone. Raises `DamagedRecord` if it cannot be read."""
    if item.data:
        return _page_entries(item)
    return [] if "sealed" in item.fields else [decode(FeedEntry, item.fields)]


def _page_entries(item: Item) -> list[FeedEntry]:
    try:
        found = _decoder.decode(unpack(item.data))
    except msgspec.MsgspecError as error:
        raise DamagedRecord from error
    first = int(item.key.sk)
    return [FeedEntry(sequence=first + i, **msgspec.structs.asdict(each)) for i, each in enumerate(found)]
