"""Stored documents: an instance's metadata as DICOM JSON, and where its encapsulated frames lie.

Compressed with zstandard: on DynamoDB size is what a write costs, and decompressing costs less than reading more.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import zstandard

from app.errors import BlobMissing, InvalidInstance
from app.storage.records.rows import InstanceRow
from app.storage.table import keys
from app.storage.table.ports import MAX_ITEM_BYTES, BlobStore, Item, Key, Table

MAX_DOCUMENT_BYTES: Final = 256 * 1024 * 1024
"""What one document may unfold to; larger ones are refused at store."""

_LEVEL: Final = 1
_ITEM_OVERHEAD: Final = 10_000
_SPILLED: Final = {"spilled": True}
_BATCH: Final = 100
_local = threading.local()


def pack(document: bytes) -> bytes:
    """Compress a document."""
    if len(document) > MAX_DOCUMENT_BYTES:
        raise InvalidInstance(f"The metadata of the instance exceeds {MAX_DOCUMENT_BYTES} bytes.")
    if not hasattr(_local, "compressor"):  # compressors are not safe to share between threads
        _local.compressor = zstandard.ZstdCompressor(level=_LEVEL)
    packed: bytes = _local.compressor.compress(document)
    return packed


def unpack(packed: bytes) -> bytes:
    """Return the document that `pack` compressed."""
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    document: bytes = _local.decompressor.decompress(packed, max_output_size=MAX_DOCUMENT_BYTES)
    return document


def spills(packed: bytes) -> bool:
    """Tell whether a packed document is too large for an item, key and fields included, and must lie in a blob."""
    return len(packed) > MAX_ITEM_BYTES - _ITEM_OVERHEAD


def metadata_item(row: InstanceRow, packed: bytes) -> Item:
    """Return the item of a metadata document; only a mark if the document lies in a blob."""
    key = keys.metadata(row.partition, row.study, row.watermark)
    fields = {"series": row.series, "instance": row.instance}
    return Item(key, fields | _SPILLED) if spills(packed) else Item(key, fields, packed)


def frames_item(row: InstanceRow, packed: bytes) -> Item:
    """Return the item of a frame table; only a mark if the table lies in a blob."""
    key = keys.frames(row.partition, row.study, row.watermark)
    return Item(key, _SPILLED) if spills(packed) else Item(key, {}, packed)


class Newest(NamedTuple):
    """An instance of a study, by its newest document."""

    watermark: int
    series: str
    instance: str


class Documents:
    """Reads the documents of instances."""

    def __init__(self, table: Table, blobs: BlobStore) -> None:
        self._table = table
        self._blobs = blobs

    def metadata(self, row: InstanceRow) -> bytes | None:
        """Return the metadata of an instance as DICOM JSON, None if it vanished meanwhile."""
        return self.unfolded(row, self._table.get(keys.metadata(row.partition, row.study, row.watermark)))

    def of(self, rows: Iterable[InstanceRow]) -> Iterator[bytes]:
        """Yield the metadata of instances, newest first; those deleted meanwhile are left out."""
        for _, document in self.each(sorted(rows, key=lambda row: -row.watermark)):
            yield document

    def by_watermark(self, rows: Iterable[InstanceRow]) -> dict[int, bytes]:
        """Return the metadata of instances by their watermarks; those deleted meanwhile are left out."""
        return {row.watermark: document for row, document in self.each(list(rows))}

    def each(self, rows: Sequence[InstanceRow]) -> Iterator[tuple[InstanceRow, bytes]]:
        """Yield instances with their metadata, one unfolded at a time; those deleted meanwhile are left out."""
        for start in range(0, len(rows), _BATCH):
            for row, item in self.folded(rows[start : start + _BATCH]):
                document = self.unfolded(row, item)
                if document is not None:
                    yield row, document

    def folded(self, rows: Sequence[InstanceRow]) -> list[tuple[InstanceRow, Item]]:
        """Return instances with what `unfolded` makes metadata of; those deleted meanwhile are left out."""
        wanted = [keys.metadata(row.partition, row.study, row.watermark) for row in rows]
        return [(row, item) for row, item in zip(rows, self._table.get_many(wanted), strict=True) if item]

    def newest_of(self, partition: int, study: str) -> Newest | None:
        """Return which instance of a study has the newest document; its row decides whether that is current."""
        item = next(iter(self._table.query(keys.metadata_items(partition, study), limit=1)), None)
        return (
            Newest(keys.NEWEST - int(item.key.sk, 16), item.fields["series"], item.fields["instance"]) if item else None
        )

    def of_study(self, rows: Iterable[InstanceRow]) -> Iterator[bytes]:
        """Yield the metadata of all instances of one study, newest first: one query instead of one read each."""
        by_watermark = {keys.newest(row.watermark): row for row in rows}
        first = next(iter(by_watermark.values()), None)
        if first is None:
            return
        for item in self._table.query(keys.metadata_items(first.partition, first.study)):
            row = by_watermark.pop(item.key.sk, None)
            document = self.unfolded(row, item) if row else None
            if document is not None:
                yield document
            if not by_watermark:
                return  # what follows are documents of original versions

    def frames(self, row: InstanceRow) -> bytes | None:
        """Return the packed frame table of an encapsulated instance."""
        return self.frames_of([row]).get(row.watermark)

    def frames_of(self, rows: Sequence[InstanceRow]) -> dict[int, bytes]:
        """Return the packed frame tables of instances that have one, by their watermarks."""
        found = self._table.get_many([keys.frames(row.partition, row.study, row.watermark) for row in rows])
        packed = (
            (row, self._packed(item, keys.spilled_frames(row.blob))) for row, item in zip(rows, found, strict=True)
        )
        return {row.watermark: table for row, table in packed if table is not None}

    def unfolded(self, row: InstanceRow, item: Item | None) -> bytes | None:
        """Return the metadata of an instance from its item, None if it vanished meanwhile."""
        packed = self._packed(item, keys.spilled_metadata(row.blob))
        return None if packed is None else unpack(packed)

    def _packed(self, item: Item | None, spilled: str) -> bytes | None:
        """Return a packed document, from its item or from the blob that the item speaks of."""
        if item is None or "spilled" not in item.fields:
            return item.data if item else None
        try:
            with self._blobs.open(spilled) as stream:
                return stream.read()
        except BlobMissing:
            return None


def keys_of(row: InstanceRow) -> tuple[Key, Key]:
    """Return the keys of all documents of an instance's version."""
    return (
        keys.metadata(row.partition, row.study, row.watermark),
        keys.frames(row.partition, row.study, row.watermark),
    )
