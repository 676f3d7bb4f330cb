"""Stored documents of an instance: its metadata as DICOM JSON, and the table of its encapsulated frames.

Documents are compressed with zstandard. On DynamoDB a write costs by its size, and decompression costs less time than
reading more bytes. A compressed document that is too large for an item lies in a blob, and its item is only a mark.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from app.dicom.encoding.uids import VIDEO
from app.dicom.json.dataset import JsonDataset
from app.errors import BlobMissing
from app.storage.records.leftovers import InstanceVersion
from app.storage.records.losses import FRAME_TABLE, METADATA, LostObjects
from app.storage.records.packed_documents import Document, served, stored_dataset, unpack, whole, with_transfer_syntax
from app.storage.records.rows import InstanceRow
from app.storage.table import keys
from app.storage.table.ports import MAX_ITEM_BYTES, BlobStore, Item, Key, Table

BATCH: Final = 25
"""Items that one read fetches. They are held together: at most 25 times `MAX_ITEM_BYTES`, about 9 MB."""

_ITEM_OVERHEAD: Final = 10_000
_SPILLED: Final = {"spilled": True}

InstanceUrl = Callable[[str, str, str], str]
"""Returns the URL of an instance, from its study, series and instance UID."""

RowItem = tuple[InstanceRow, Item | None]
"""An instance, and the item of one of its documents; None if there is no such item."""

RowDocument = tuple[InstanceRow, bytes | None]
"""An instance, and one of its packed documents; None if it was deleted meanwhile."""

ReadAhead = Callable[[Callable[[RowItem], bytes | None], Iterable[RowItem]], Iterable[bytes | None]]
"""`map`, or a function like it that makes the next few calls on other threads."""


def spills(packed: bytes) -> bool:
    """Return whether a packed document is too large for an item with its key and fields, so that it lies in a blob."""
    return len(packed) > MAX_ITEM_BYTES - _ITEM_OVERHEAD


def metadata_item(row: InstanceRow, packed: bytes) -> Item:
    """Return the item of a metadata document. It is only a mark if the document lies in a blob."""
    key = keys.metadata(row.partition, row.study, row.watermark)
    fields = {"series": row.series, "instance": row.instance}
    return Item(key, fields | _SPILLED) if spills(packed) else Item(key, fields, packed)


def frames_item(row: InstanceRow, packed: bytes) -> Item:
    """Return the item of a frame table. It is only a mark if the table lies in a blob."""
    key = keys.frames(row.partition, row.study, row.watermark)
    return Item(key, _SPILLED) if spills(packed) else Item(key, {}, packed)


def items_of(row: InstanceRow, metadata: bytes, frames: bytes) -> list[Item]:
    """Return the items of the packed documents of a version. `frames` is empty if there is no frame table."""
    return [metadata_item(row, metadata), *([frames_item(row, frames)] if frames else [])]


def put_large(blobs: BlobStore, blob: str, metadata: bytes, frames: bytes) -> None:
    """Store those packed documents of a version beside its blob that are too large for items.

    Call it before the row is written. A kill -9 after it leaves blobs that no row names.
    """
    if spills(metadata):
        blobs.put(keys.spilled_metadata(blob), io.BytesIO(metadata))
    if spills(frames):
        blobs.put(keys.spilled_frames(blob), io.BytesIO(frames))


class NewestDocument(NamedTuple):
    """The instance of a study that has the newest metadata document, and the watermark of that document."""

    watermark: int
    series: str
    instance: str


class Documents:
    """Reads the documents of instances.

    A document can be missing for two reasons. If the instance was deleted meanwhile, the answer leaves it out. If the
    index still names the version of the document, the document is lost and every read raises `LostData`.
    """

    def __init__(self, table: Table, blobs: BlobStore, lost: LostObjects, *, read_ahead: ReadAhead = map) -> None:
        self._table = table
        self._blobs = blobs
        self._lost = lost
        self._read_ahead = read_ahead

    # --- metadata ---

    def each(self, rows: Iterable[InstanceRow]) -> Iterator[bytes | None]:
        """Yield the metadata of each instance without bulk data, None for one that was deleted meanwhile.

        One document at a time is in memory, beside the packed documents of one batch.
        """
        packed = self._packed_documents(self.items(rows))
        return (None if each is None else whole(served(each, None)) for _, each in packed)

    def datasets(self, rows: Iterable[InstanceRow], wanted: frozenset[str]) -> Iterator[JsonDataset | None]:
        """Yield the stored dataset of each instance, None for one that was deleted meanwhile.

        Large elements are left out if their tag is not wanted. `dicom/json/bulk_data.py` describes the elements of bulk
        data.
        """
        packed = self._packed_documents(self.items(rows))
        return (None if each is None else stored_dataset(each, wanted) for _, each in packed)

    def of(self, rows: Iterable[InstanceRow], url_of: InstanceUrl | None = None) -> Iterator[Document]:
        """Yield the metadata of instances, newest first.

        With `url_of` it has URLs of bulk data, and the metadata of a video names its transfer syntax.
        """
        packed = self._packed_documents(self.items(sorted(rows, key=lambda row: -row.watermark)))
        return (_served(row, each, url_of) for row, each in packed if each is not None)

    def of_study(self, rows: Iterable[InstanceRow], url_of: InstanceUrl | None = None) -> Iterator[Document]:
        """Yield the metadata of all instances of one study as `of` does: one query instead of one read each."""
        packed = self._packed_documents(self._items_of_study(list(rows)))
        return (_served(row, each, url_of) for row, each in packed if each is not None)

    def packed(self, row: InstanceRow) -> bytes | None:
        """Return the packed metadata of an instance, None if the instance was deleted meanwhile."""
        return self._packed_metadata((row, self._table.get(keys.metadata(row.partition, row.study, row.watermark))))

    def items(self, rows: Iterable[InstanceRow]) -> Iterator[RowItem]:
        """Yield each instance with the item of its metadata, which `read` makes a document of."""
        remaining = iter(rows)
        while batch := list(islice(remaining, BATCH)):
            wanted = [keys.metadata(row.partition, row.study, row.watermark) for row in batch]
            yield from zip(batch, self._table.get_many(wanted), strict=True)

    def read(self, row: InstanceRow, item: Item | None) -> bytes | None:
        """Return the metadata of an instance from its item, None if the instance was deleted meanwhile.

        Large elements have no more than two values and no items. If the instance was updated meanwhile, the document of
        the new version is returned.
        """
        packed = self.read_packed(row, item)
        return None if packed is None else unpack(packed)

    def read_packed(self, row: InstanceRow, item: Item | None) -> bytes | None:
        """Return the packed metadata of an instance, which `repack` changes; None as in `read`."""
        return self._packed_metadata((row, item))

    def newest_of(self, partition: int, study: str) -> NewestDocument | None:
        """Return the newest document of a study. The row of its instance decides whether that version is current."""
        item = next(iter(self._table.query(keys.metadata_items(partition, study), limit=1)), None)
        if item is None:
            return None
        return NewestDocument(keys.NEWEST - int(item.key.sk, 16), item.fields["series"], item.fields["instance"])

    def _items_of_study(self, rows: Sequence[InstanceRow]) -> Iterator[RowItem]:
        missing = {keys.newest(row.watermark): row for row in rows}
        if not missing:
            return
        for item in self._table.query(keys.metadata_items(rows[0].partition, rows[0].study)):
            row = missing.pop(item.key.sk, None)
            if row is not None:
                yield row, item
            if not missing:
                return  # the rest are documents of original versions
        yield from ((row, None) for row in missing.values())

    def _packed_documents(self, items: Iterator[RowItem]) -> Iterator[RowDocument]:
        while batch := list(islice(items, BATCH)):
            in_blobs = any(item is not None and "spilled" in item.fields for _, item in batch)
            # Threads only help to wait for a blob store. The content of an item is in memory already.
            read = self._read_ahead if in_blobs else map
            yield from zip((row for row, _ in batch), read(self._packed_metadata, batch), strict=True)

    def _packed_metadata(self, given: RowItem) -> bytes | None:
        row, item = given
        if item is not None and "spilled" not in item.fields:
            return item.data
        packed = self._packed(item, keys.spilled_metadata(row.blob))
        while packed is None:
            now = self._lost.current_row(row, METADATA)
            if now is None:
                return None
            row = now
            item = self._table.get(keys.metadata(row.partition, row.study, row.watermark))
            packed = self._packed(item, keys.spilled_metadata(row.blob))
        return packed

    # --- frame tables ---

    def frames(self, row: InstanceRow) -> bytes | None:
        """Return the packed frame table of an instance, None if it has none or was deleted meanwhile.

        If there is no item, only the file shows whether the table is lost (`services/retrieve/frames.py`).
        """
        return self.read_frames(row, self._table.get(keys.frames(row.partition, row.study, row.watermark)))

    def frames_items(self, rows: Sequence[InstanceRow]) -> list[Item | None]:
        """Return the items of the frame tables of instances, which `read_frames` reads."""
        return self._table.get_many([keys.frames(row.partition, row.study, row.watermark) for row in rows])

    def read_frames(self, row: InstanceRow, item: Item | None) -> bytes | None:
        """Return the packed frame table of an instance from its item; None as in `frames`."""
        if item is None:
            return None
        packed = self._packed(item, keys.spilled_frames(row.blob))
        if packed is None:
            self._lost.current_row(row, FRAME_TABLE)
        return packed

    def _packed(self, item: Item | None, blob: str) -> bytes | None:
        """Return a packed document from its item, or from the blob if the item is only a mark. None: it is missing."""
        if item is None or "spilled" not in item.fields:
            return item.data if item else None
        try:
            with self._blobs.open(blob) as stream:
                return stream.read()
        except BlobMissing:
            return None


def _served(row: InstanceRow, packed: bytes, url_of: InstanceUrl | None) -> Document:
    document = served(packed, _url(row, url_of))
    if url_of is None or row.transfer_syntax not in VIDEO:
        return document
    return with_transfer_syntax(whole(document), row.transfer_syntax)


def _url(row: InstanceRow, url_of: InstanceUrl | None) -> str | None:
    return url_of(row.study, row.series, row.instance) if url_of is not None else None


def keys_of(row: InstanceRow) -> tuple[Key, Key]:
    """Return the keys of all documents of an instance's version."""
    return (
        keys.metadata(row.partition, row.study, row.watermark),
        keys.frames(row.partition, row.study, row.watermark),
    )


def stored_keys(row: InstanceRow) -> tuple[Key, ...]:
    """Return the keys of the documents that an instance's version may have. Native frames have no frame table."""
    return keys_of(row)[:1] if row.native else keys_of(row)


def keys_of_version(version: InstanceVersion) -> tuple[Key, Key]:
    """Return the keys of all documents of a version, from its watermark."""
    return (
        keys.metadata(version.partition, version.study, version.watermark),
        keys.frames(version.partition, version.study, version.watermark),
    )
