"""Removes what killed writers and deletions left behind: files, documents and postings that no row names.

Each step may be repeated, and any number of workers may do the same at once. A kill -9 leaves some of it removed, and
the record that names it. So the record is removed last.

**Postings of a row that exists.** Another writer may give the row such a posting at this moment: it writes the posting
first and the row after it. So the removal also writes the row, with a new revision. The other writer then conflicts and
writes its postings again. The postings of rows that do not exist any more need no such care, because they have the
`created` number of their row in their keys, and such a number is never used again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain, islice

from app.storage.records.documents import BATCH, keys_of_version
from app.storage.records.leftovers import InstanceVersion, Leftovers
from app.storage.records.postings import postings_of_version
from app.storage.records.rows import InstanceRow
from app.storage.table import keys
from app.storage.table.batch import cost, grouped
from app.storage.table.ports import BlobStore, Delete, Holds, Item, Key, Put, Table
from app.storage.table.retry import retry

EntriesOf = Callable[[Item], Collection[Key]]
"""Returns the keys of the postings that a stored row has."""


class LeftoversRemoval:
    """Removes leftovers. `entries_of` has a function for each family of rows (`keys.family`)."""

    def __init__(self, table: Table, blobs: BlobStore, entries_of: Mapping[str, EntriesOf]) -> None:
        self._table = table
        self._blobs = blobs
        self._entries_of = entries_of

    def remove(self, leftovers: Iterable[Leftovers]) -> None:
        """Remove what no row names. The blobs of all of it are removed together, a thousand in one call on S3.

        Raises `StorageUnavailable` if the data store fails. Then any part of it may be removed.
        """
        every = list(leftovers)
        versions = list(chain.from_iterable(each.versions for each in every))
        rows = self._rows_of(versions)
        blobs = dict.fromkeys(each.blob for each in versions if not _names(rows, each))
        if blobs:
            self._blobs.delete(chain.from_iterable(map(keys.files, blobs)))
        self._delete_existing(
            key
            for each in versions
            if each.watermark and not _has_watermark(rows, each)
            for key in (*keys_of_version(each), *postings_of_version(each))
        )
        for row, postings in chain.from_iterable(each.postings for each in every):
            self.remove_postings([row], postings)

    def remove_postings(self, rows: Sequence[Key], postings: Sequence[Key]) -> None:
        """Remove those of the postings that none of the rows has. `rows` are the keys of the rows that may have them.

        Raises `RetriesExhausted` if other writers wrote the rows again and again meanwhile.
        """
        retry(lambda: self._remove_postings(rows, postings))

    def _remove_postings(self, rows: Sequence[Key], postings: Sequence[Key]) -> None:
        existing = [item for item in self._table.get_many(rows) if item]
        kept = {entry for item in existing for entry in self._entries_of[keys.family(item.key)](item)}
        gone = [key for key in postings if key not in kept]
        if not existing:
            self._delete_existing(gone)
            return
        found = [Delete(item.key) for item in self._table.get_many(gone) if item]
        for group in grouped(found, lambda change: cost([change]), reserved=len(existing)):
            written = [_with_next_revision(item) for item in existing]
            self._table.write(*written, *group)
            existing = [each.item for each in written]

    def _delete_existing(self, wanted: Iterable[Key]) -> None:
        """Delete the items that exist. On DynamoDB a read costs less than a deletion."""
        remaining = iter(dict.fromkeys(wanted))
        while batch := list(islice(remaining, BATCH)):
            found = [item.key for item in self._table.get_many(batch) if item]
            self._table.write_each([Delete(key) for key in found])

    def _rows_of(self, versions: Sequence[InstanceVersion]) -> dict[Key, InstanceRow]:
        """Return the rows of the instances that exist, visible or not, by key."""
        instances = {_row_key(each): each for each in versions}
        found = zip(instances.values(), self._table.get_many(list(instances)), strict=True)
        return {item.key: InstanceRow.of(item, each.partition, each.study) for each, item in found if item}


def _row_key(version: InstanceVersion) -> Key:
    return keys.instance(version.partition, version.study, version.series, version.instance)


def _names(rows: Mapping[Key, InstanceRow], version: InstanceVersion) -> bool:
    """Return whether the row of an instance names the version: as the current, the original or the pending one."""
    row = rows.get(_row_key(version))
    return row is not None and any(file.version == version.version for file in row.files)


def _has_watermark(rows: Mapping[Key, InstanceRow], version: InstanceVersion) -> bool:
    """Return whether documents or postings with the watermark of the version belong to the row of its instance."""
    row = rows.get(_row_key(version))
    return row is not None and any(file.watermark == version.watermark for file in row.files)


def _with_next_revision(row: Item) -> Put:
    """Return the write that only raises the revision of a row, so that every other write that read it conflicts."""
    revision = row.fields["revision"]
    return Put(row._replace(fields={**row.fields, "revision": revision + 1}), Holds("revision", revision))
