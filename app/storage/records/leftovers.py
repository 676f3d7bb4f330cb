"""What a writer may leave behind when it is killed: files, documents and postings that no row names.

A record in the table names them before they are written. When the record is due, the sweep removes what no row names.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from app.storage.records.instance_row import InstanceRow
from app.storage.records.packed_documents import pack, unpack
from app.storage.table import keys
from app.storage.table.codec import Record
from app.storage.table.ports import Key


class InstanceVersion(Record, frozen=True, kw_only=True):
    """One version of the file of an instance; its blob is named after it.

    `watermark` is in the keys of its documents if the sweep must remove these with the blob. It is 0 if they are
    removed with the row.
    """

    partition: int
    study: str
    series: str
    instance: str
    version: str
    watermark: int = 0

    @property
    def blob(self) -> str:
        return keys.blob(self.partition, self.study, self.series, self.instance, self.version)


def version_of(row: InstanceRow) -> InstanceVersion:
    """Return the current version of an instance."""
    return InstanceVersion(
        partition=row.partition, study=row.study, series=row.series, instance=row.instance, version=row.version
    )


class Leftovers(msgspec.Struct, frozen=True, kw_only=True):
    """What may be left behind.

    `versions` stand for their blobs, documents, and the postings that every instance row has. `postings` are others.
    `rows` are the keys of the rows that may have these.
    """

    versions: tuple[InstanceVersion, ...] = ()
    postings: tuple[Key, ...] = ()
    rows: tuple[Key, ...] = ()

    def pack(self) -> bytes:
        """Return it as compressed JSON, for `Item.data`. Twelve versions of one series take about a kilobyte."""
        return pack(msgspec.json.encode(self))

    @staticmethod
    def unpack(packed: bytes) -> Leftovers:
        return _decoder.decode(unpack(packed))

    @staticmethod
    def of(versions: Iterable[InstanceVersion], postings: Iterable[Key] = (), rows: Iterable[Key] = ()) -> Leftovers:
        return Leftovers(versions=tuple(versions), postings=tuple(postings), rows=tuple(rows))


_decoder = msgspec.json.Decoder(Leftovers)
