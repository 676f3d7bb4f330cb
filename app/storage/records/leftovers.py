"""What a writer may leave behind when it is killed: files, documents and postings that no row names.

A record in the table names them before they are written. When the record is due, the sweep removes what no row names.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Final, NamedTuple

import msgspec

from app.storage.records.instance_row import InstanceRow
from app.storage.records.packed_documents import pack, unpack
from app.storage.table import keys
from app.storage.table.codec import Record
from app.storage.table.ports import Key


class InstanceVersion(Record, frozen=True, kw_only=True):
    """One version of the file of an instance; its blob is named after it.

    `watermark` is in the keys of its documents if the sweep must remove these with the blob. It is 0 if they are
    removed with the row. `shards` is that of the row of the instance (`records/spread_lists.py`).
    """

    partition: int
    study: str
    series: str
    instance: str
    version: str
    watermark: int = 0
    shards: int = 1

    @property
    def blob(self) -> str:
        return keys.blob(self.partition, self.study, self.series, self.instance, self.version)


def version_of(row: InstanceRow) -> InstanceVersion:
    """Return the current version of an instance."""
    return InstanceVersion(
        partition=row.partition,
        study=row.study,
        series=row.series,
        instance=row.instance,
        version=row.version,
        shards=row.shards,
    )


class RowPostings(NamedTuple):
    """Postings that a row may have, beside those that every instance row has. `row` is the key of the row."""

    row: Key
    postings: tuple[Key, ...]


class Leftovers(msgspec.Struct, frozen=True, kw_only=True):
    """What may be left behind.

    `versions` stand for their blobs, documents, and the postings that every instance row has.
    """

    versions: tuple[InstanceVersion, ...] = ()
    postings: tuple[RowPostings, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.versions or self.postings)

    def __or__(self, other: Leftovers) -> Leftovers:
        """Return the leftovers of both."""
        return Leftovers.joined((self, other))

    @staticmethod
    def joined(several: Iterable[Leftovers]) -> Leftovers:
        """Return all of several leftovers, each once."""
        every = list(several)
        return Leftovers(
            versions=tuple(dict.fromkeys(chain.from_iterable(each.versions for each in every))),
            postings=_joined(chain.from_iterable(each.postings for each in every)),
        )

    def __sub__(self, other: Leftovers) -> Leftovers:
        """Return the leftovers without those that `other` has too."""
        versions = set(other.versions)
        known = {(each.row, key) for each in other.postings for key in each.postings}
        remaining = (
            RowPostings(each.row, tuple(key for key in each.postings if (each.row, key) not in known))
            for each in self.postings
        )
        return Leftovers(
            versions=tuple(each for each in self.versions if each not in versions),
            postings=tuple(each for each in remaining if each.postings),
        )

    def pack(self) -> bytes:
        """Return it as compressed JSON, for `Item.data`. Twelve versions of one series take about a kilobyte."""
        return pack(msgspec.json.encode(self))

    @staticmethod
    def unpack(packed: bytes) -> Leftovers:
        """Return what `pack` packed."""
        return _decoder.decode(unpack(packed))


def _joined(postings: Iterable[RowPostings]) -> tuple[RowPostings, ...]:
    by_row: dict[Key, dict[Key, None]] = {}
    for each in postings:
        by_row.setdefault(each.row, {}).update(dict.fromkeys(each.postings))
    return tuple(RowPostings(row, tuple(found)) for row, found in by_row.items())


_decoder: Final = msgspec.json.Decoder(Leftovers)
