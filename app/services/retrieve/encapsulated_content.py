"""The place of an encapsulated document in its file, found without reading the document (PS3.3 C.24.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.elements import UNDEFINED, Fragments
from app.dicom.encoding.part10 import Part10, inflated, parse
from app.dicom.encoding.uids import transfer_syntax
from app.dicom.encoding.vr import LONG_FORM
from app.errors import ImageFailure, InvalidInstance
from app.services.bounded_cache import BoundedCache
from app.services.instance_files import InstanceFiles
from app.services.retrieve.frames import MAX_TRANSCODED_BYTES, TOO_LARGE
from app.storage.records.rows import InstanceRow

ENCAPSULATED_DOCUMENT: Final = 0x00420011
ENCAPSULATED_DOCUMENT_LENGTH: Final = 0x00420015

_PART: Final = 256 * 1024
"""Bytes that are read at each end of the file. If the attributes need more, the whole file is read once."""
_MAX_TRIES: Final = 16
"""How often the bytes of the tag are taken for the header of the document. It bounds the time."""
_CACHED_BYTES: Final = 1 << 20
_ENTRY_BYTES: Final = 256

ABSENT: Final = "The instance has no Encapsulated Document."
NOT_WHOLE: Final = "The Encapsulated Document is not one value."


@dataclass(frozen=True, slots=True)
class Place:
    """`length` bytes at `offset` of the file. `data` is the bytes themselves if the file has them deflated."""

    offset: int
    length: int
    data: bytes | None = None


class EncapsulatedContent:
    """Finds encapsulated documents, and keeps the places of those that were used last.

    `is_text`: no document ends with a NUL, so a NUL at the end is padding. Files of earlier editions of the standard
    have no Encapsulated Document Length.
    """

    def __init__(self, files: InstanceFiles, *, is_text: bool) -> None:
        self._files = files
        self._is_text = is_text
        self._kept: BoundedCache[Place] = BoundedCache(_CACHED_BYTES, "encapsulated_documents")

    def place(self, row: InstanceRow) -> Place:
        """Return where the document of an instance is, without its byte of padding.

        Raises `ImageFailure` if there is none, `LostData` if the file is lost.
        """
        place = self._kept.get(row.blob)
        if place is None:
            place = self._found(row)
            if self._is_text and place.length > 1 and self._last_byte(row, place) == b"\0":
                place = replace(place, length=place.length - 1, data=place.data and place.data[:-1])
            if place.data is None:
                self._kept.put(row.blob, place, _ENTRY_BYTES)
        return place

    def _found(self, row: InstanceRow) -> Place:
        try:
            if transfer_syntax(row.transfer_syntax).deflated:
                return self._inflated(row)
            return self._between_attributes(row) or self._in_whole_file(row)
        except InvalidInstance as error:
            raise ImageFailure(str(error)) from error

    def _last_byte(self, row: InstanceRow, place: Place) -> bytes:
        return place.data[-1:] if place.data else self._read(row, place.offset + place.length - 1, 1)

    def _between_attributes(self, row: InstanceRow) -> Place | None:
        """Return the place from the bytes before and after the document. None if they are too long."""
        if row.size <= _PART:
            return None
        head = self._read(row, 0, _PART)
        for little in (True, False):
            for position, before in _ends_before_document(head, little):
                offset, length = _header(head, position, before)
                end = offset + length
                if length == UNDEFINED or end > row.size or row.size - end > _PART:
                    continue
                attributes = head[:position] + self._read(row, end, row.size - end)
                try:
                    whole = parse(attributes)
                except InvalidInstance:
                    continue  # the bytes of the tag were a part of a value
                return _without_padding(offset, length, AttributeReader.of(attributes, whole))
        return None

    def _in_whole_file(self, row: InstanceRow) -> Place:
        with self._files.mapped(row) as data:
            part10 = parse(data)
            return _place_in(part10, AttributeReader.of(data, part10))

    def _inflated(self, row: InstanceRow) -> Place:
        if row.size > MAX_TRANSCODED_BYTES:
            raise ImageFailure(TOO_LARGE)
        data = self._read(row, 0, row.size)
        part10 = parse(data)
        whole = inflated(data, part10.dataset_offset)
        place = _place_in(part10, AttributeReader.of(whole, part10))
        return Place(0, place.length, bytes(whole[place.offset : place.offset + place.length]))

    def _read(self, row: InstanceRow, start: int, length: int) -> bytes:
        if not length:
            return b""
        with self._files.open(row, start, length) as stream:
            return stream.read(length)


def _ends_before_document(head: bytes, little: bool) -> list[tuple[int, Part10]]:
    """Return each offset at which the header of the document may begin, with the layout of what is before it."""
    order: Literal["little", "big"] = "little" if little else "big"
    mark = (ENCAPSULATED_DOCUMENT >> 16).to_bytes(2, order) + (ENCAPSULATED_DOCUMENT & 0xFFFF).to_bytes(2, order)
    found = []
    position = -1
    for _ in range(_MAX_TRIES):
        position = head.find(mark, position + 1)
        if position < 0 or position + 12 > len(head):
            break
        try:
            found.append((position, parse(head[:position])))
        except InvalidInstance:
            continue  # these bytes are a part of a value
    return found


def _header(head: bytes, position: int, before: Part10) -> tuple[int, int]:
    """Return the offset and the length of the value whose header begins at `position`."""
    order: Literal["little", "big"] = "little" if before.little else "big"
    if before.explicit and head[position + 4 : position + 6] in LONG_FORM:
        return position + 12, int.from_bytes(head[position + 8 : position + 12], order)
    return position + 8, int.from_bytes(head[position + 4 : position + 8], order)


def _place_in(part10: Part10, attributes: AttributeReader) -> Place:
    element = part10.get(ENCAPSULATED_DOCUMENT)
    if element is None:
        raise ImageFailure(ABSENT)
    if isinstance(element.value, Fragments) or element.items is not None:
        raise ImageFailure(NOT_WHOLE)
    return _without_padding(element.offset, element.length, attributes)


def _without_padding(offset: int, length: int, attributes: AttributeReader) -> Place:
    """Return the place without the byte of padding, if Encapsulated Document Length says that there is one.

    A length that differs by more is wrong, and the bytes that are there count.
    """
    claimed = attributes.integer(ENCAPSULATED_DOCUMENT_LENGTH, length)
    if not length:
        raise ImageFailure("The Encapsulated Document is empty.")
    return Place(offset, claimed if claimed == length - 1 and claimed else length)
