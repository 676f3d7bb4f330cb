"""Bulk data of instances, read by byte range (conformance §4.14, PS3.18 §10.4.1.1.5, §10.4.1.1.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from app.dicom.encoding.bulk_data import ReadRange, bulk_elements, element_at, in_little_endian, place_of
from app.dicom.encoding.elements import Fragments
from app.dicom.encoding.part10 import INFLATE_LIMIT, inflated_range, parse
from app.dicom.encoding.uids import EXPLICIT_LITTLE
from app.dicom.json.bulk_data import PIXELS, NotedElement
from app.errors import BlobMissing, NotAcceptable, NotFound
from app.services.instance_files import InstanceFiles, Ranges, within
from app.services.retrieve.frames import TOO_LARGE, FrameReader
from app.storage.records.documents import Documents
from app.storage.records.noted_elements import NotedElements
from app.storage.records.rows import InstanceRow

OCTETS: Final = "application/octet-stream"
DOCUMENT_TYPES: Final = frozenset({"application/pdf", "model/mtl", "model/obj", "model/stl"})
"""Media types of encapsulated documents that answers name. Not XML and HTML: a browser would run them."""
ICC_PROFILE_TYPE: Final = "application/vnd.iccprofile"

_DOCUMENT: Final = "00420011"
_DOCUMENT_TYPE: Final = "00420012"
_ICC_PROFILE: Final = "00282000"


class BulkDataPart(NamedTuple):
    """The bytes of a value, or of one frame of it: `length` bytes that `read` returns by range, in little endian."""

    length: int
    read: ReadRange


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkData:
    """One element of bulk data. Compressed pixel data has a part for each frame, everything else has one part.

    `parts` returns its `count` parts. `media_type` is that of its content if it is known. `transfer_syntax` is the one
    of pixel data, else empty.
    """

    path: str
    media_type: str
    transfer_syntax: str
    count: int
    parts: Callable[[], Iterator[BulkDataPart]]


class BulkDataReader:
    """Finds and reads bulk data. No value is in memory as a whole."""

    def __init__(self, documents: Documents, files: InstanceFiles, frames: FrameReader) -> None:
        self._documents = documents
        self._files = files
        self._frames = frames

    def find(self, row: InstanceRow, path: str) -> BulkData:
        """Return the bulk data at a checked path (`dicom/encoding/bulk_data.py`).

        The file is parsed if the metadata does not name the element, as that of an older release. Raises `NotFound` if
        there is no bulk data at the path, `NotAcceptable` for a deflated file that is too large to be inflated.
        """
        noted = NotedElements(self._packed(row))
        found = noted.find(path)
        media_type = _media_type(path, noted)
        if isinstance(found, bytes):
            return _one_part(path, media_type, "", BulkDataPart(len(found), partial(_slice, found)))
        if found is None or (found.place is None and path not in PIXELS):
            return self._of_file(row, path, media_type)
        return self._of_noted(row, found, media_type)

    def each(self, row: InstanceRow) -> Iterator[BulkData]:
        """Yield the bulk data of an instance that its metadata names; all of it if the metadata names none."""
        noted = NotedElements(self._packed(row))
        named = False
        for found in noted.each():
            named = True
            yield self.find(row, found.path) if found.place is None else self._of_noted(row, found, OCTETS)
        if not named:
            for path in self._paths(row):
                yield self.find(row, path)

    def pixel_data(self, row: InstanceRow) -> Iterator[BulkData]:
        """Yield the pixel data of an instance, nothing if it has none."""
        noted = NotedElements(self._packed(row))
        paths = [path for path in PIXELS if noted.find(path)] or [path for path in self._paths(row) if path in PIXELS]
        for path in paths[:1]:
            yield self.find(row, path)

    def _packed(self, row: InstanceRow) -> bytes:
        packed = self._documents.packed(row)
        if packed is None:
            raise BlobMissing(row.blob)
        return packed

    def _paths(self, row: InstanceRow) -> list[str]:
        with self._files.mapped(row) as buffer:
            return [path for path, _ in bulk_elements(parse(buffer))]

    def _of_file(self, row: InstanceRow, path: str, media_type: str) -> BulkData:
        """Return bulk data that is found in the file itself. Raises `NotFound`."""
        with self._files.mapped(row) as buffer:
            part10 = parse(buffer)
            element = element_at(part10, path)
            if element is None:
                raise NotFound("bulk data")
            fragments, place = element.value, place_of(part10, element)
        if not isinstance(fragments, Fragments):
            return self._of_noted(row, NotedElement(path, place), media_type)
        if path in PIXELS and (frames := self._of_frames(row, path)):
            return frames
        ranges = list(zip(fragments.starts, fragments.sizes, strict=True))
        return _one_part(path, media_type, row.transfer_syntax, self._joined(row, ranges, deflated=place.deflated))

    def _of_noted(self, row: InstanceRow, noted: NotedElement, media_type: str) -> BulkData:
        path, place = noted
        if place is None:
            return self._of_frames(row, path) or self._of_file(row, path, media_type)
        read: ReadRange = self._joined(row, [(place.offset, place.length)], deflated=place.deflated).read
        read = in_little_endian(read, place.word, place.length)
        syntax = EXPLICIT_LITTLE if path in PIXELS else ""
        return _one_part(path, media_type, syntax, BulkDataPart(place.length, read))

    def _of_frames(self, row: InstanceRow, path: str) -> BulkData | None:
        """Return compressed pixel data by frames, None if its frames cannot be told apart."""
        table = self._frames.table(row)
        if not table.counts:
            return None
        return BulkData(
            path=path,
            media_type=OCTETS,
            transfer_syntax=row.transfer_syntax,
            count=len(table.counts),
            parts=lambda: (self._joined(row, ranges) for ranges in table.all_ranges()),
        )

    def _joined(self, row: InstanceRow, ranges: Ranges, *, deflated: bool = False) -> BulkDataPart:
        """Return byte ranges of the file as one part. A file that is `deflated` is inflated from its start."""
        read_file = self._inflated if deflated else self._files.chunks

        def read(start: int, length: int) -> Iterator[bytes]:
            for offset, size in within(ranges, start, length):
                yield from read_file(row, offset, size)

        return BulkDataPart(sum(size for _, size in ranges), read)

    def _inflated(self, row: InstanceRow, start: int, length: int) -> Iterator[bytes]:
        if row.size > INFLATE_LIMIT:
            raise NotAcceptable(TOO_LARGE)
        with self._files.mapped(row) as buffer:
            yield from inflated_range(buffer, start, length)


def _one_part(path: str, media_type: str, syntax: str, part: BulkDataPart) -> BulkData:
    return BulkData(path=path, media_type=media_type, transfer_syntax=syntax, count=1, parts=lambda: iter((part,)))


def _slice(value: bytes, start: int, length: int) -> Iterator[bytes]:
    yield value[start : start + length]


def _media_type(path: str, noted: NotedElements) -> str:
    """Return the media type of the content of an element. Text from the file counts only if it names a known type."""
    if path.endswith(_ICC_PROFILE):
        return ICC_PROFILE_TYPE
    if path != _DOCUMENT:
        return OCTETS
    values: Mapping[str, list[str]] = noted.dataset.get(_DOCUMENT_TYPE, {})
    named = str(next(iter(values.get("Value", ())), "")).strip(" \0").lower()
    return named if named in DOCUMENT_TYPES else OCTETS
