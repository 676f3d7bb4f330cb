"""The services of an archive on the model of DynamoDB, and the files that the workloads store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final

from app import bootstrap
from app.bootstrap import engines
from app.engines.table_queue import TableQueue
from app.errors import BlobMissing
from app.services import Services
from app.services.policy import V2
from app.settings import Settings
from app.storage.table import keys
from app.storage.table.partitions import Partition
from app.storage.table.ports import StoredBlob, Table
from tests.support.instances import ct

STUDY: Final = f"2.25.{'1' * 38}"
SERIES: Final = f"2.25.{'2' * 38}"
INSTANCE: Final = f"2.25.{'3' * 38}"
_STEPS: Final = 1000


class NoBlobs:
    """A `BlobStore` that forgets what it stores. A blob of an instance that is read is `body`."""

    def __init__(self, body: bytes = b"") -> None:
        self.body = body

    def put(self, key: str, body: BinaryIO) -> int:
        return len(body.read())

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        if key.startswith(keys.PARTITION_OBJECTS):
            raise BlobMissing(key)
        return BytesIO(self.body[start : None if length is None else start + length])

    def delete(self, keys: Iterable[str]) -> None:
        pass

    def listed(self, prefix: str = "", after: str = "") -> Iterator[StoredBlob]:
        return iter(())


class ModelArchive:
    """One process that serves an archive on a table. Several on one table are several processes."""

    def __init__(self, table: Table, *, row_shards: int = engines.ROW_SHARDS, **settings: Any) -> None:
        self.table = table
        self.blobs = NoBlobs()
        given = Settings(data_dir=Path("no-folder"), log_level="error", metrics=False, **settings)
        self.services: Services = bootstrap.build_services(given, aws_like(table, self.blobs, row_shards))

    def partition(self, name: str) -> Partition:
        """Return a partition. It is created if it is missing."""
        return self.services.partitions.resolve(name, create=True)

    def store(self, partition: Partition, files: Sequence[bytes]) -> int:
        """Store instances in one request. Return how many were stored."""
        return len(self.services.store(partition, map(BytesIO, files), None, V2).stored)

    def work(self) -> None:
        """Do the background work that is due, until none is left."""
        for _ in range(_STEPS):
            found = [step() for step in self.services.background]
            if not any(found):
                return
        raise AssertionError("the background work does not end")


def aws_like(table: Table, blobs: NoBlobs, row_shards: int) -> bootstrap.Engine:
    """Return an engine with as many shards as the aws engine has, on these ports."""
    log_shards = engines.log_shards(Settings(engine="aws")) if row_shards > 1 else 1
    return bootstrap.Engine(
        table=table,
        blobs=blobs,
        queue=TableQueue(table),
        row_shards=row_shards,
        log_shards=log_shards,
        sweep_shards=keys.SWEEP_SHARDS,
    )


class Slices:
    """CT slices of about 140 elements, as a scanner writes them, with new UIDs and without pixels."""

    _template: ClassVar[bytes] = ct(study=STUDY, series=SERIES, instance=INSTANCE, rows=1, columns=1)

    def __init__(self, writer: int = 0) -> None:
        self._number = writer * 10**9

    def new(self, study: str, series: str) -> bytes:
        """Return a slice with a SOP Instance UID that no other one has."""
        self._number += 1
        return self._renamed(study, series, number_uid(9, self._number))

    def _renamed(self, study: str, series: str, instance: str) -> bytes:
        data = self._template
        for old, new in ((STUDY, study), (SERIES, series), (INSTANCE, instance)):
            data = data.replace(old.encode(), new.encode())
        return data


def number_uid(kind: int, number: int) -> str:
    """Return a UID of 43 characters that follows from the numbers."""
    return f"2.25.{kind}{number * 2_654_435_761 % 10**12:012d}{number:025d}"
