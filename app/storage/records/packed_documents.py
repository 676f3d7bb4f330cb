"""Documents in their packed form: compressed with zstandard, perhaps with large elements (`large_documents`).

The positions of the URLs of bulk data follow the compressed text, with their number and a mark.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import orjson
import zstandard

from app.dicom.json.bulk_data import move_places, stored_text
from app.dicom.json.bulk_data_texts import uri_positions, with_bulk_data_uris, with_uris_at, without_bulk_data
from app.dicom.json.dataset import JsonDataset, JsonElement
from app.dicom.validation.attributes import AVAILABLE_TRANSFER_SYNTAX
from app.errors import InvalidInstance
from app.storage.records import large_documents

MAX_DOCUMENT_BYTES: Final = 256 * 1024 * 1024
"""Size of one document before compression. A store refuses an instance with a larger one."""

_LEVEL: Final = 1
_POSITIONS_MARK: Final = b"\x93URIS\r\n"
_MAX_POSITIONS: Final = 255
_local = threading.local()

Document = bytes | Iterator[bytes]
"""Metadata of an instance as DICOM JSON: whole, or in chunks if it is very large."""


def pack(document: bytes) -> bytes:
    """Compress a document. Raises `InvalidInstance` if it is larger than `MAX_DOCUMENT_BYTES`."""
    if len(document) > MAX_DOCUMENT_BYTES:
        raise InvalidInstance(f"The metadata of the instance exceeds {MAX_DOCUMENT_BYTES} bytes.")
    if not hasattr(_local, "compressor"):  # threads cannot share a compressor
        _local.compressor = zstandard.ZstdCompressor(level=_LEVEL)
    packed: bytes = _local.compressor.compress(document)
    return packed


def pack_dataset(text: bytes) -> bytes:
    """Compress a stored dataset. The positions of its URLs follow, so that a read does not search for them."""
    positions = uri_positions(text)
    packed = pack(text)
    if not 0 < len(positions) <= _MAX_POSITIONS:
        return packed
    return b"".join((packed, array("I", positions).tobytes(), bytes((len(positions),)), _POSITIONS_MARK))


def _positions_in(packed: bytes) -> array[int]:
    positions = array("I")
    if packed.endswith(_POSITIONS_MARK):
        end = len(packed) - len(_POSITIONS_MARK) - 1
        positions.frombytes(packed[end - positions.itemsize * packed[end] : end])
    return positions


def pack_large(small: bytes, texts: Iterable[tuple[str, Iterable[bytes]]]) -> bytes:
    """Compress a document with large elements, which come by tag as chunks of JSON text. Raises as `pack` does.

    `small` is the dataset with a shortened form of each large element. Only compressed texts are in memory.
    """
    try:
        return large_documents.packed_with(pack_dataset(small), texts, level=_LEVEL, limit=MAX_DOCUMENT_BYTES)
    except large_documents.TooMuchText:
        raise InvalidInstance(f"The metadata of the instance exceeds {MAX_DOCUMENT_BYTES} bytes.") from None


def repack(
    packed: bytes, change: Callable[[JsonDataset], JsonDataset], shift_of: Callable[[str], int], *, whole_document: bool
) -> bytes:
    """Return a document after a change of its dataset. Large elements that the change keeps are not unpacked.

    `shift_of` returns the number of bytes by which the element of a tag lies later in the new file. `whole_document`:
    the change needs the large elements too.
    """
    places = large_documents.places_in(packed)
    before: JsonDataset = orjson.loads(unpack(packed))
    if whole_document:
        return pack_dataset(stored_text(change(before | {tag: _large_element(packed, tag) for tag in places})))
    after = change(dict(before))
    kept = [tag for tag in places if tag in after and _has_same_value(before[tag], after[tag])]
    small = pack_dataset(stored_text(after, kept))
    return large_documents.with_small_part(packed, small, {tag: shift_of(tag) for tag in kept}) if kept else small


def _has_same_value(one: JsonElement, other: JsonElement) -> bool:
    return bool(one["vr"] == other["vr"] and one.get("Value") == other.get("Value"))


def _large_element(packed: bytes, tag: str) -> JsonElement:
    """Return a large element as a whole, with the places of bulk data in the current file."""
    place = large_documents.places_in(packed)[tag]
    dataset: JsonDataset = {tag: orjson.loads(b"".join(large_documents.text_of(packed, place)))}
    if place.shift:
        move_places(dataset, lambda offset: offset + place.shift)
    return dataset[tag]


def unpack(packed: bytes) -> bytes:
    """Return the document that `pack` compressed, or the small part of one that `pack_large` compressed."""
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    document: bytes = _local.decompressor.decompress(packed, max_output_size=MAX_DOCUMENT_BYTES)
    return document


def whole(document: Document) -> bytes:
    """Return a document in one piece."""
    return document if isinstance(document, bytes) else b"".join(document)


def served(packed: bytes, instance_url: str | None) -> Document:
    """Return a document as it is served: with URLs of bulk data below that of the instance, or without bulk data."""
    text = unpack(packed)
    if instance_url is not None and (positions := _positions_in(packed)):
        return with_uris_at(text, positions, instance_url)
    if not large_documents.places_in(packed):
        return without_bulk_data(text) if instance_url is None else with_bulk_data_uris(text, instance_url)
    lines = large_documents.whole_text(packed, orjson.loads(text), values=instance_url is None)
    return without_bulk_data(lines) if instance_url is None else with_bulk_data_uris(lines, instance_url)


def with_transfer_syntax(document: bytes, syntax: str) -> bytes:
    """Return a document that names the transfer syntax of the file as AvailableTransferSyntaxUID (0008,3002).

    A viewer knows a video by it. An element of the file stays as it is.
    """
    element = {AVAILABLE_TRANSFER_SYNTAX: {"vr": "UI", "Value": [syntax]}}
    return orjson.dumps(element | orjson.loads(document), option=orjson.OPT_SORT_KEYS)


def stored_dataset(packed: bytes, wanted: frozenset[str]) -> JsonDataset:
    """Return the dataset of a document. Large elements are whole if they are wanted, else absent."""
    dataset: JsonDataset = orjson.loads(unpack(packed))
    for tag in large_documents.places_in(packed):
        if tag in wanted:
            dataset[tag] = _large_element(packed, tag)
        else:
            dataset.pop(tag, None)
    return dataset
