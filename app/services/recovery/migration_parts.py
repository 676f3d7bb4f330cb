"""What both passes of a migration and its check need: batches of items, pairs of files, and which items are copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeVar

from app.errors import StorageUnavailable
from app.storage.feed import log
from app.storage.table import keys
from app.storage.table.ports import BlobStore, Item, Key, StoredBlob, Table

_BATCH: Final = 100
_BATCH_BYTES: Final = 1_000_000

_WAITS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
"""Seconds before each repetition of a call whose store did not answer. A new table of DynamoDB grows in such a time."""

_LEFT_OUT: Final = frozenset((keys.LAYOUT, keys.MIGRATION))

T = TypeVar("T")


class Store(NamedTuple):
    """Where an archive is: a name for people, its table and its files."""

    name: str
    table: Table
    blobs: BlobStore


def batches(table: Table, after: Key | None = None) -> Iterator[list[Item]]:
    """Yield all items after a key, in batches of 100 items and about a megabyte at most."""
    batch: list[Item] = []
    size = 0
    for item in table.items(after):
        batch.append(item)
        size += len(item.data)
        if len(batch) == _BATCH or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def is_copied(item: Item) -> bool:
    """Return whether an item belongs to the archive, and not to the engine or to the mark of the target."""
    return item.key not in _LEFT_OUT and not keys.is_queued(item.key) and not is_committed(item)


def is_committed(item: Item) -> bool:
    """Return whether an item is a committed record of the log, which the source moves into its change feed."""
    return keys.is_logged(item.key) and log.is_committed(item)


def is_resharded(key: Key) -> bool:
    """Return whether the copy of an item may have another key."""
    return keys.in_first_shard(key) is not None


def copied_key(key: Key) -> Key:
    """Return the key of the copy of an item."""
    return keys.in_first_shard(key) or key


def blob_pairs(first: BlobStore, second: BlobStore) -> Iterator[tuple[StoredBlob | None, StoredBlob | None]]:
    """Yield the files of the archive in both stores, in the order of their keys; None where one lacks a file."""
    left, right = _files(first), _files(second)
    one, other = next(left, None), next(right, None)
    while one or other:
        if other is None or (one is not None and one.key < other.key):
            yield one, None
            one = next(left, None)
        elif one is None or other.key < one.key:
            yield None, other
            other = next(right, None)
        else:
            yield one, other
            one, other = next(left, None), next(right, None)


def _files(blobs: BlobStore) -> Iterator[StoredBlob]:
    """Yield what belongs to an archive. A bucket may have other objects, such as exports."""
    return (blob for blob in blobs.listed() if keys.blob_name(blob.key) or names_partition(blob.key))


def names_partition(blob: str) -> bool:
    """Return whether a blob has the name of a partition. Such a blob may differ from another one of its size."""
    return blob.startswith(keys.PARTITION_OBJECTS)


def patiently(call: Callable[[], T], sleep: Callable[[float], None]) -> T:
    """Return what `call` returns. Repeat it for about two minutes while a store does not answer or throttles."""
    for seconds in _WAITS:
        try:
            return call()
        except StorageUnavailable:
            sleep(seconds)
    return call()
