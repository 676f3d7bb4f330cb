"""The names of partitions in the blob store, beside the blobs.

The keys of blobs have the key of their partition and not its name. So each partition has a small object with its name.
With these objects the blobs alone are enough to make the index again (`services/recovery/rebuild.py`).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import suppress

import msgspec
import structlog

from app.errors import BlobMissing, StorageError
from app.storage.table import keys
from app.storage.table.partitions import Partition
from app.storage.table.ports import BlobStore

log = structlog.get_logger()


class PartitionObjects:
    """Writes and reads the objects that name the partitions of an archive."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def write(self, partition: Partition) -> None:
        """Store the object of a partition. It replaces the one that the partition has."""
        self._blobs.put(keys.partition_object(partition.key), io.BytesIO(msgspec.json.encode(partition)))

    def has_files(self, key: int) -> bool:
        """Return whether there is an object or a blob of a partition with this key. These are two reads."""
        try:
            self._blobs.open(keys.partition_object(key)).close()
        except BlobMissing:
            return any(True for _ in self._blobs.listed(keys.blobs_of(key)))
        return True

    def write_soon(self, partition: Partition) -> None:
        """Store the object of a new partition. If that fails, the worker does it later (`write_missing`).

        A kill -9 before the write leaves a partition without an object, which the worker finds too.
        """
        with suppress(StorageError):
            self.write(partition)

    def write_missing(self, partitions: Iterable[Partition]) -> int:
        """Store the objects that are missing. Return their number. The keys of all objects are in memory."""
        present = {blob.key for blob in self._blobs.listed(keys.PARTITION_OBJECTS)}
        missing = [each for each in partitions if keys.partition_object(each.key) not in present]
        for partition in missing:
            self.write(partition)
        return len(missing)

    def listed(self) -> Iterator[Partition]:
        """Yield the partitions that the objects name. An object that cannot be read is passed over."""
        for blob in self._blobs.listed(keys.PARTITION_OBJECTS):
            with self._blobs.open(blob.key) as stream:
                text = stream.read()
            try:
                yield msgspec.json.decode(text, type=Partition)
            except msgspec.MsgspecError:
                log.warning("the object of a partition cannot be read", object=blob.key)
