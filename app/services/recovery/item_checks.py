"""The checks of single items: postings, documents, and rows without the rows above them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from app.services.recovery.findings import Fault, FaultKind, Subject
from app.storage.records.postings import postings
from app.storage.records.rows import InstanceRow, SeriesRow, StudyRow
from app.storage.table import keys
from app.storage.table.ports import Item, Key, Table
from app.storage.worklist import workitems
from app.storage.worklist.workitems import WorkitemRow

ITEM: Final = "item"
"""The name of this check in a `Subject`. The subject has the key of the item."""

EntriesOf = Callable[[Item], Collection[Key]]


def item_subject(key: Key) -> Subject:
    return Subject(ITEM, tuple(key))


def partition_of(key: Key) -> int:
    """Return the key of the partition that an item belongs to, 0 for an item that belongs to none."""
    first = key.pk.partition("/")[0]
    return int(first) if first.isdecimal() else 0


class ItemCheck:
    """Checks items in batches. `entries_of` returns the keys of all postings of a row, by the family of the row."""

    def __init__(self, table: Table, entries_of: Mapping[str, EntriesOf]) -> None:
        self._table = table
        self._entries_of = entries_of

    def check(self, items: Sequence[Item]) -> list[Fault]:
        """Return the faults of these items. Items of other kinds have none."""
        return [
            *self._postings([item for item in items if keys.leads_to_row(item.key)]),
            *self._documents([item for item in items if _family(item.key) == "metadata"]),
            *self._frame_tables([item.key for item in items if _family(item.key) == "frames"]),
            *self._members([item.key for item in items if _family(item.key) == "study" and item.key.sk != keys.STUDY]),
            *self._workitems([item for item in items if _family(item.key) == "workitem"]),
        ]

    def check_again(self, subjects: Iterable[Subject]) -> list[Fault]:
        """Read items again and check them."""
        found = self._table.get_many([Key(*each.at) for each in subjects])
        return self.check([item for item in found if item])

    def _postings(self, items: Sequence[Item]) -> list[Fault]:
        wanted = [row_of(item) for item in items]
        entries = self._entries(wanted)
        return [
            _fault(FaultKind.ORPHAN_POSTING, item.key, item.fields, f"{item.key.pk} leads to {row.sk}")
            for item, row in zip(items, wanted, strict=True)
            if item.key not in entries[row]
        ]

    def _entries(self, rows: Iterable[Key]) -> dict[Key, Collection[Key]]:
        wanted = list(dict.fromkeys(rows))
        found = zip(wanted, self._table.get_many(wanted), strict=True)
        return {key: self._entries_of[keys.family(key)](item) if item else frozenset() for key, item in found}

    def _documents(self, items: Sequence[Item]) -> list[Fault]:
        """Check metadata documents: the row of their instance names their version."""
        rows = [
            keys.instance(partition_of(item.key), _study(item.key), item.fields["series"], item.fields["instance"])
            for item in items
        ]
        found = self._table.get_many(rows)
        return [
            _fault(FaultKind.ORPHAN_DOCUMENT, item.key, item.fields, "metadata")
            for item, row in zip(items, found, strict=True)
            if row is None or not _names(row, item.key)
        ]

    def _frame_tables(self, found: Sequence[Key]) -> list[Fault]:
        """Check frame tables. The metadata document of the same version says which instance they belong to."""
        documents = self._table.get_many([_metadata_of(key) for key in found])
        return [
            _fault(FaultKind.ORPHAN_DOCUMENT, key, {}, "frame table")
            for key, document in zip(found, documents, strict=True)
            if document is None and not self._is_named(key)
        ]

    def _is_named(self, document: Key) -> bool:
        """Return whether any row of a study names the version of a document. This reads the study."""
        pk = keys.study_items(partition_of(document), _study(document))
        return any(_names(item, document) for item in self._table.query(pk, keys.INSTANCES))

    def _members(self, found: Sequence[Key]) -> list[Fault]:
        """Check rows of series and instances: their study has a row. The check of the study does the rest."""
        studies = dict.fromkeys(keys.study(partition_of(key), _study(key)) for key in found)
        present = {key for key, item in zip(studies, self._table.get_many(list(studies)), strict=True) if item}
        return [
            _fault(FaultKind.ORPHAN_ROW, key, {}, key.sk)
            for key in found
            if keys.study(partition_of(key), _study(key)) not in present and not key.sk.startswith(keys.SHARDS.low)
        ]

    def _workitems(self, items: Sequence[Item]) -> list[Fault]:
        expected = [(item.key, entry) for item in items for entry in self._entries_of["workitem"](item)]
        present = self._table.get_many([entry for _, entry in expected])
        return [
            Fault(
                kind=FaultKind.LOST_POSTING,
                subject=item_subject(key),
                partition=partition_of(key),
                instance=key.pk.rpartition("/")[2],
                target=entry,
                detail=f"{entry.pk} of a workitem",
            )
            for (key, entry), item in zip(expected, present, strict=True)
            if item is None
        ]


def row_of(posting: Item) -> Key:
    """Return the key of the row that a posting leads to."""
    partition, fields = partition_of(posting.key), posting.fields
    if "workitem" in fields:
        return keys.workitem(partition, fields["workitem"])
    if "instance" in fields:
        return keys.instance(partition, fields["study"], fields["series"], fields["instance"])
    if "series" in fields:
        return keys.series(partition, fields["study"], fields["series"])
    return keys.study(partition, fields["study"])


def documents_beside(document: Key) -> set[Key]:
    """Return the keys of all documents that the version of a document may have: a frame table beside the metadata."""
    watermark = keys.NEWEST - int(document.sk, 16)
    at = (partition_of(document), _study(document), watermark)
    return {keys.metadata(*at), keys.frames(*at)} if _family(document) == "metadata" else {document}


def items_of_row(row: Item) -> Mapping[Key, Item]:
    """Return the postings of a stored row, by key."""
    partition, _, uid = row.key.pk.split("/")
    if _family(row.key) == "workitem":
        return workitems.postings(WorkitemRow.of(row, int(partition), uid))
    kind: type[StudyRow | SeriesRow | InstanceRow] = StudyRow
    if row.key.sk != keys.STUDY:
        kind = InstanceRow if row.key.sk.startswith("instance/") else SeriesRow
    return postings(kind.of(row, int(partition), uid))


def _family(key: Key) -> str:
    parts = key.pk.split("/")
    return parts[1] if len(parts) > 1 and parts[0].isdecimal() else ""


def _study(key: Key) -> str:
    return key.pk.split("/")[2]


def _metadata_of(frames: Key) -> Key:
    return Key(keys.metadata_items(partition_of(frames), _study(frames)), frames.sk)


def _names(row: Item, document: Key) -> bool:
    """Return whether a row names the version that a document belongs to."""
    found = InstanceRow.of(row, partition_of(document), _study(document))
    return any(keys.newest(file.watermark) == document.sk for file in found.files)


def _fault(kind: FaultKind, key: Key, fields: Mapping[str, object], detail: str) -> Fault:
    uids = {name: str(fields[name]) for name in ("study", "series", "instance") if name in fields}
    return Fault(kind=kind, subject=item_subject(key), partition=partition_of(key), target=key, detail=detail, **uids)
