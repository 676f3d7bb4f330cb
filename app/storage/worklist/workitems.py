"""The workitems of a partition: one item for each, which holds its dataset, and its postings (conformance §7.1).

Each change is one all-or-nothing write: the item, on the condition that it is unchanged since it was read, and the
difference of its postings. So a kill -9 leaves the workitem either as before the change or as after it, and the posting
list of a state holds exactly the workitems in that state.

A workitem can have more postings than fit in one write. Then some postings of attributes in sequences are added before
that write, and some are removed after it (`storage/table/batch.py`). A kill -9 between the writes leaves a posting
whose workitem does not have the value. A search reads the workitem and omits it, and the sweep removes the posting.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

import orjson
from msgspec.structs import replace

from app.dicom.json.dataset import JsonDataset, ordered
from app.dicom.worklist.search_attributes import FILTERS, search_values
from app.errors import InvalidWorkitem, StorageUnavailable, TooLarge
from app.storage.records.packed_documents import pack, unpack
from app.storage.records.postings import keys_of
from app.storage.table import keys
from app.storage.table.batch import write_atomically
from app.storage.table.codec import Attributes, Record, decode, encode, stored_as
from app.storage.table.ports import (
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
"""The kind of object in the keys of postings; studies, series and instances have their level there."""

MAX_DATASET_BYTES: Final = 4 * 1024 * 1024
"""Size limit of the dataset of a workitem as JSON, in bytes."""

_FIELDS_BYTES: Final = 1000
"""Upper bound of the size of the other fields of an item."""


class WorkitemRow(Record, frozen=True, kw_only=True):
    """A workitem of a partition.

    `created` is the number that results are ordered by. `revision` counts the writes; every write expects the revision
    that it read. `lock` is the Transaction UID of the claim, "" while there is none. It is a secret of the performer:
    no answer and no log line contains it. `search_attributes` are the attributes that a search compares
    (`dicom/worklist/search_attributes.py`). `document` is the dataset as packed JSON, `checksum` its CRC-32.
    """

    partition: int
    workitem: str
    created: int
    revision: int
    lock: str
    search_attributes: Attributes = stored_as("filed")
    document: bytes
    checksum: int

    def __repr__(self) -> str:
        """Leave out the lock and the dataset, because a representation may reach a log."""
        return f"WorkitemRow(partition={self.partition}, workitem={self.workitem!r}, revision={self.revision})"

    @property
    def sequence(self) -> int:
        """The number that results are ordered by, highest first."""
        return self.created

    @property
    def key(self) -> Key:
        return keys.workitem(self.partition, self.workitem)

    @property
    def intact(self) -> bool:
        """Whether the document is undamaged."""
        return zlib.crc32(self.document) == self.checksum

    def dataset(self) -> JsonDataset:
        """Return the dataset. Raises `StorageUnavailable` if it is damaged."""
        if not self.intact:
            raise StorageUnavailable
        dataset: JsonDataset = orjson.loads(unpack(self.document))
        return dataset

    @property
    def item(self) -> Item:
        fields = encode(replace(self, document=b""), "partition", "workitem", "document")
        return Item(self.key, fields, self.document)

    @staticmethod
    def of(item: Item, partition: int, workitem: str) -> WorkitemRow:
        return decode(WorkitemRow, item.fields, partition=partition, workitem=workitem, document=item.data)

    def with_dataset(self, dataset: JsonDataset) -> WorkitemRow:
        """Return the row with another dataset.

        Raises `TooLarge` beyond `MAX_DATASET_BYTES`, `InvalidWorkitem` if the compressed row does not fit in an item.
        """
        document = orjson.dumps(ordered(dataset))
        if len(document) > MAX_DATASET_BYTES:
            raise TooLarge(MAX_DATASET_BYTES)
        packed, attributes = pack(document), search_values(dataset)
        size = len(packed) + len(orjson.dumps(attributes)) + _FIELDS_BYTES
        if size > MAX_ITEM_BYTES:
            raise InvalidWorkitem(
                f"The workitem takes {size} bytes compressed; no more than {MAX_ITEM_BYTES} can be stored."
            )
        return replace(self, search_attributes=attributes, document=packed, checksum=zlib.crc32(packed))


class Workitems:
    """Reads and writes workitems."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, partition: int, workitem: str) -> WorkitemRow | None:
        """Return the workitem, or None."""
        item = self._table.get(keys.workitem(partition, workitem))
        return WorkitemRow.of(item, partition, workitem) if item else None

    def add(self, partition: int, workitem: str, dataset: JsonDataset) -> None:
        """Create a workitem that is not claimed. A kill -9 before the write leaves a gap in the numbers.

        Raises `Conflict` if the workitem exists; `TooLarge` and `InvalidWorkitem` as `WorkitemRow.with_dataset`.
        """
        new = WorkitemRow(
            partition=partition,
            workitem=workitem,
            created=0,
            revision=1,
            lock="",
            search_attributes={},
            document=b"",
            checksum=0,
        ).with_dataset(dataset)
        number = self._table.add(keys.workitem_counter(partition), "value", 1)
        self._write(replace(new, created=number), {}, Absent())

    def change(self, row: WorkitemRow, dataset: JsonDataset, lock: str) -> None:
        """Replace the dataset and the lock of a workitem. `row` is the workitem as the caller read it.

        Raises `Conflict` if another write changed it since; `TooLarge` and `InvalidWorkitem` as
        `WorkitemRow.with_dataset`.
        """
        new = replace(row.with_dataset(dataset), revision=row.revision + 1, lock=lock)
        self._write(new, postings(row), Holds("revision", row.revision))

    def _write(self, row: WorkitemRow, before: Mapping[Key, Item], expect: Expectation) -> None:
        after = postings(row)
        changes: list[Change] = [Put(item) for key, item in after.items() if key not in before]
        changes += [Delete(key) for key in before if key not in after]
        changes.sort(
            key=lambda change: "." in change.key.pk
        )  # postings of attributes in sequences come last: they may be written apart
        write_atomically(self._table, [Put(row.item, expect), *changes])


def postings(row: WorkitemRow) -> dict[Key, Item]:
    """Return all postings of a workitem, by key."""
    posting_keys = [Key(keys.newest_of(row.partition, KIND), keys.newest(row.created))]
    for path, element in row.search_attributes.items():
        posting_keys += keys_of(row.partition, KIND, row.created, FILTERS[path], element)
    return {key: Item(key, {"workitem": row.workitem}) for key in posting_keys}


def entries_of(item: Item) -> frozenset[Key]:
    """Return the keys of all postings of a stored workitem."""
    partition, _, workitem = item.key.pk.split("/")
    return frozenset(postings(WorkitemRow.of(item, int(partition), workitem)))
