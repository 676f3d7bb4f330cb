"""The workitems of a partition: one item each, its dataset in it, and the postings that it is found by (conformance §7.1).

Each change is one all-or-nothing write: the item, on the condition that nobody changed it meanwhile, and the difference
of its postings. So a kill -9 leaves the workitem as it was or as it was to be, and the posting list of a state holds
exactly the workitems in it. Only where there are more postings than a write takes, some of those on attributes within
sequences are written before it, and removed after it: a posting that leads to a workitem without the value is harmless.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from app.dicom.json.dataset import JsonDataset, JsonElement, ordered
from app.dicom.worklist.search_attributes import FILTERS, search_values
from app.errors import InvalidWorkitem, StorageUnavailable, TooLarge
from app.storage.records.documents import pack, unpack
from app.storage.records.postings import keys_of
from app.storage.table import keys
from app.storage.table.ports import (
    MAX_CHANGES,
    MAX_ITEM_BYTES,
    Absent,
    Change,
    Delete,
    Expectation,
    Holds,
    Item,
    Key,
    Put,
    Table,
)

KIND: Final = "workitem"
"""What stands in a posting's key where others have their level."""

MAX_DATASET_BYTES: Final = 4 * 1024 * 1024
"""The dataset of a workitem, as JSON."""

_FIELDS_BYTES: Final = 1000


@dataclass(frozen=True, slots=True)
class WorkitemRow:
    """A workitem. `revision` counts its writes; `created` is its place among the newest of the partition.

    `lock` is the Transaction UID that it was claimed with, "" while it is not claimed; it leaves the server in no form.
    `filed` is what it is found by (`worklist.search_attributes.search_values`), `document` its dataset as packed JSON.
    """

    partition: int
    workitem: str
    created: int
    revision: int
    lock: str = field(repr=False)
    filed: Mapping[str, JsonElement] = field(repr=False)
    document: bytes = field(repr=False)
    checksum: int

    @property
    def sequence(self) -> int:
        """The number that results are ordered by."""
        return self.created

    @property
    def key(self) -> Key:
        return keys.workitem(self.partition, self.workitem)

    @property
    def intact(self) -> bool:
        """Whether the document is as it was written."""
        return zlib.crc32(self.document) == self.checksum

    def dataset(self) -> JsonDataset:
        """Return the dataset. Raises `StorageUnavailable` if it is damaged."""
        if not self.intact:
            raise StorageUnavailable
        dataset: JsonDataset = orjson.loads(unpack(self.document))
        return dataset

    @property
    def item(self) -> Item:
        fields: dict[str, Any] = {
            "created": self.created,
            "revision": self.revision,
            "lock": self.lock,
            "filed": self.filed,
            "checksum": self.checksum,
        }
        return Item(self.key, fields, self.document)

    @staticmethod
    def of(item: Item, partition: int, workitem: str) -> WorkitemRow:
        f = item.fields
        return WorkitemRow(
            partition, workitem, f["created"], f["revision"], f["lock"], f["filed"], item.data, f["checksum"]
        )

    def holding(self, dataset: JsonDataset) -> WorkitemRow:
        """Return the row with another dataset. Raises `TooLarge`, or `InvalidWorkitem` for what no item can hold."""
        document = orjson.dumps(ordered(dataset))
        if len(document) > MAX_DATASET_BYTES:
            raise TooLarge(MAX_DATASET_BYTES)
        packed, found = pack(document), search_values(dataset)
        size = len(packed) + len(orjson.dumps(found)) + _FIELDS_BYTES
        if size > MAX_ITEM_BYTES:
            raise InvalidWorkitem(
                f"The workitem takes {size} bytes compressed; no more than {MAX_ITEM_BYTES} can be stored."
            )
        return replace(self, filed=found, document=packed, checksum=zlib.crc32(packed))


class Workitems:
    """Reads and writes workitems."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, partition: int, workitem: str) -> WorkitemRow | None:
        """Return the workitem, or None."""
        item = self._table.get(keys.workitem(partition, workitem))
        return WorkitemRow.of(item, partition, workitem) if item else None

    def add(self, partition: int, workitem: str, dataset: JsonDataset) -> None:
        """Make the workitem exist, not claimed. Raises `Conflict` if there is one, `TooLarge`, `InvalidWorkitem`."""
        new = WorkitemRow(partition, workitem, 0, 1, "", {}, b"", 0).holding(dataset)
        number = self._table.add(keys.workitem_counter(partition), "value", 1)
        self._write(replace(new, created=number), {}, Absent())

    def change(self, row: WorkitemRow, dataset: JsonDataset, lock: str) -> None:
        """Replace the dataset and the lock of a workitem as it was read.

        Raises `Conflict` if it was changed meanwhile, `TooLarge`, `InvalidWorkitem`.
        """
        new = replace(row.holding(dataset), revision=row.revision + 1, lock=lock)
        self._write(new, postings(row), Holds("revision", row.revision))

    def _write(self, row: WorkitemRow, before: Mapping[Key, Item], expect: Expectation) -> None:
        after = postings(row)
        changes: list[Change] = [Put(item) for key, item in after.items() if key not in before]
        changes += [Delete(key) for key in before if key not in after]
        changes.sort(key=lambda change: "." in change.key.pk)  # those on attributes within sequences come last
        spare = changes[MAX_CHANGES - 1 :]
        self._write_spare([change for change in spare if isinstance(change, Put)])
        self._table.write(Put(row.item, expect), *changes[: MAX_CHANGES - 1])
        self._write_spare([change for change in spare if isinstance(change, Delete)])

    def _write_spare(self, changes: list[Put] | list[Delete]) -> None:
        for start in range(0, len(changes), MAX_CHANGES):
            self._table.write(*changes[start : start + MAX_CHANGES])


def postings(row: WorkitemRow) -> dict[Key, Item]:
    """Return all postings of a workitem, by key."""
    found = [Key(keys.newest_of(row.partition, KIND), keys.newest(row.created))]
    for path, element in row.filed.items():
        found += keys_of(row.partition, KIND, row.created, FILTERS[path], element)
    return {key: Item(key, {"workitem": row.workitem}) for key in found}
