"""Reads data elements from random-access bytes. It touches only headers and small values (PS3.5 §7, Annex A).

The reader accepts deviations that are common in archives: odd lengths, missing delimiters within a defined length, an
implicit element in an explicit dataset. It refuses what it cannot trust: values that run past their container, a
dataset that is cut short, nesting and numbers beyond the limits. The result is always elements or `InvalidInstance`.
The limits bound time and memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from app.dicom.encoding.elements import (
    ENCODINGS,
    IMPLICIT,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    Buffer,
    Encoding,
    Fragments,
    RawElement,
    SequenceItem,
)
from app.dicom.encoding.vr import BULK, LONG_FORM, SHORT_FORM, implicit_vr, tag_text
from app.errors import InvalidInstance

MAX_DEPTH: Final = 64
"""The deepest nesting of sequences."""
MAX_ELEMENTS: Final = 500_000
"""The largest number of elements, items and fragments in one instance."""
MAX_VALUE: Final = 1 << 20
"""Bytes. The reader does not load a longer value, as if it were bulk data."""
MAX_HEADER: Final = 32 << 20
"""The largest size of an instance without its bulk data, in bytes."""

PIXEL_REPRESENTATION: Final = 0x00280103


class ElementReader:
    """Reads the datasets of one instance. All nesting levels share its limits."""

    __slots__ = ("_copies_values", "_data", "_header_limit", "_remaining", "_signed", "_size")

    def __init__(self, data: Buffer, size: int) -> None:
        self._data: Any = data
        self._copies_values = isinstance(data, memoryview | bytearray)
        self._size = size
        self._remaining: Iterator[int] = iter(range(MAX_ELEMENTS))
        self._header_limit = MAX_HEADER
        self._signed = False

    def dataset(self, position: int, end: int, encoding: Encoding) -> tuple[RawElement, ...]:
        """Return all elements between two offsets, in file order, without the zero padding after the last one."""
        return self._elements(position, end, encoding, 0, False)[0]

    def group(self, position: int, end: int, group: int) -> tuple[tuple[RawElement, ...], int]:
        """Return the first elements of one group, in Explicit VR Little Endian, and the offset of the next group."""
        elements: list[RawElement] = []
        while position + 8 <= end and self._data[position : position + 2] == group.to_bytes(2, "little"):
            stop = self._end_of_meta_element(position, end)
            elements += self.dataset(position, stop, ENCODINGS[True, True])
            position = stop
        return tuple(elements), position

    def encoding(self, position: int, end: int, claimed: Encoding) -> Encoding:
        """Return the encoding of the dataset at `position`: `claimed`, but explicit if the first element has a VR."""
        code = bytes(self._data[position + 4 : position + 6])
        if not claimed.explicit and position + 8 <= end and (code in SHORT_FORM or code in LONG_FORM):
            return ENCODINGS[True, claimed.little]
        return claimed

    def _elements(
        self, position: int, end: int, encoding: Encoding, depth: int, delimited: bool
    ) -> tuple[tuple[RawElement, ...], int]:
        """Return the elements of one dataset and its end. `delimited` means an item of undefined length."""
        data, copies, explicit = self._data, self._copies_values, encoding.explicit
        unpack, short, new = encoding.header.unpack_from, SHORT_FORM.get, tuple.__new__
        elements: list[RawElement] = []
        append = elements.append
        last = end - 8
        for _ in self._remaining:
            if position > last:
                break
            if explicit:
                group, number, code, length = unpack(data, position)
                tag = group << 16 | number
                vr = short(code)
                start = position + 8
                if vr is None:
                    if code in LONG_FORM or (code.isalpha() and code.isupper()):
                        vr, start, length = self._long_form(position, end, code, length, encoding)
                        if vr == "UN" and length != UNDEFINED and encoding.little:
                            # A device that did not know the VR wrote UN, in Implicit VR Little Endian (PS3.5 §6.2.2).
                            vr = implicit_vr(tag, length, signed=self._signed)
                    else:
                        (length,) = encoding.number.unpack_from(data, position + 4)
            else:
                group, number, length = unpack(data, position)
                tag = group << 16 | number
                start = position + 8
                vr = None
            if vr is None:
                if group == 0xFFFE:
                    if tag == ITEM or length:
                        _refuse(position, "an item lies outside of a sequence")
                    if delimited:
                        return tuple(elements), start if tag == ITEM_END else position
                    position = start
                    continue
                if tag == 0:
                    if depth or not self._only_zeros(position, end):
                        _refuse(position, "group 0000 has no place in a dataset")
                    return tuple(elements), end
                vr = implicit_vr(tag, length, signed=self._signed)
            if length == UNDEFINED:
                element, position = self._undefined(tag, vr, start, end, encoding, depth)
                append(element)
                continue
            stop = start + length
            if stop > end:
                _refuse(position, f"the value of {tag_text(tag)} runs past the end of its dataset")
            if vr in BULK or (length > MAX_VALUE and vr != "SQ"):
                self._header_limit += length
                append(new(RawElement, (tag, vr, None, start, length)))
            elif vr == "SQ":
                if explicit and code == b"UN":
                    append(self._sequence_in_un(tag, start, stop, depth))
                else:
                    items, _end = self._items(start, stop, encoding, depth + 1, False)
                    append(new(RawElement, (tag, vr, items, start, length)))
            else:
                value = data[start:stop]
                append(new(RawElement, (tag, vr, bytes(value) if copies else value, start, length)))
                if tag == PIXEL_REPRESENTATION:
                    self._signed = value[:2] in (b"\1\0", b"\0\1")
            if stop > self._header_limit:
                _refuse(position, f"the header exceeds {MAX_HEADER} bytes")
            position = stop
        else:
            _refuse(position, f"there are more than {MAX_ELEMENTS} elements")
        if position != end and not (depth == 0 and self._only_zeros(position, end)):
            _refuse(position, "the dataset ends within an element")
        return tuple(elements), end

    def _long_form(
        self, position: int, end: int, code: bytes, short_length: int, encoding: Encoding
    ) -> tuple[str, int, int]:
        """Return VR, value offset and value length of an element whose VR does not have the short form.

        An unknown VR becomes UN. It has the long form if its reserved bytes are zero: all new VRs have that form.
        """
        if code not in LONG_FORM and short_length:
            return "UN", position + 8, short_length
        if position + 12 > end:
            _refuse(position, "the dataset ends within an element")
        (length,) = encoding.number.unpack_from(self._data, position + 8)
        return LONG_FORM.get(code, "UN"), position + 12, length

    def _undefined(
        self, tag: int, vr: str, start: int, end: int, encoding: Encoding, depth: int
    ) -> tuple[RawElement, int]:
        """Return an element of undefined length, a sequence or fragments, and the position after its delimiter."""
        if vr == "SQ" or vr == "UN":
            # UN of undefined length is a sequence in Implicit VR Little Endian (PS3.5 §6.2.2).
            inner = encoding if vr == "SQ" or not encoding.explicit else IMPLICIT
            items, stop = self._items(start, end, inner, depth + 1, True)
            if not encoding.little and inner is IMPLICIT:
                return RawElement(tag, "UN", None, start, stop - start), stop
            return RawElement(tag, "SQ", items, start, stop - start), stop
        if vr not in BULK:
            _refuse(start, f"the undefined length of {tag_text(tag)} does not suit VR {vr}")
        fragments, stop = self._fragments(start, end, encoding)
        return RawElement(tag, vr, fragments, start, stop - start), stop

    def _sequence_in_un(self, tag: int, start: int, stop: int, depth: int) -> RawElement:
        """Return the sequence that an element of VR UN holds, or the element itself if it does not hold one."""
        try:
            items, _end = self._items(start, stop, IMPLICIT, depth + 1, False)
        except InvalidInstance:
            self._header_limit += stop - start
            return RawElement(tag, "UN", None, start, stop - start)
        return RawElement(tag, "SQ", items, start, stop - start)

    def _items(
        self, position: int, end: int, encoding: Encoding, depth: int, delimited: bool
    ) -> tuple[tuple[SequenceItem, ...], int]:
        """Return the items of a sequence and its end. A sequence that is not `delimited` ends at `end`."""
        if depth > MAX_DEPTH:
            _refuse(position, f"sequences are nested deeper than {MAX_DEPTH}")
        items: list[SequenceItem] = []
        for _ in self._remaining:
            if position + 8 > end:
                break
            group, number, length = encoding.item.unpack_from(self._data, position)
            tag = group << 16 | number
            start = position + 8
            if tag == SEQUENCE_END and (delimited or start == end):
                return tuple(items), start
            if tag == ITEM_END and delimited:
                return tuple(items), position
            if tag != ITEM:
                _refuse(position, f"{tag_text(tag)} stands where an item should")
            if length == UNDEFINED:
                item, position = self._elements(start, end, encoding, depth, True)
            else:
                if start + length > end:
                    _refuse(position, "an item runs past the end of its sequence")
                item, position = self._elements(start, start + length, encoding, depth, False)
            items.append(item)
        else:
            _refuse(position, f"there are more than {MAX_ELEMENTS} elements")
        if position != end or (delimited and end == self._size):
            _refuse(position, "the sequence is cut short")
        return tuple(items), end

    def _fragments(self, position: int, end: int, encoding: Encoding) -> tuple[Fragments, int]:
        """Return the fragments of encapsulated data and the position after its delimiter."""
        starts, sizes = array("Q"), array("I")
        unpack, data = encoding.item.unpack_from, self._data
        while True:
            if position + 8 > end or next(self._remaining, None) is None:
                _refuse(position, f"encapsulated data is cut short, or has more than {MAX_ELEMENTS} fragments")
            group, number, length = unpack(data, position)
            tag = group << 16 | number
            position += 8
            if tag == SEQUENCE_END:
                offset, length = (starts.pop(0), sizes.pop(0)) if starts else (position, 0)
                self._header_limit += sum(sizes) + length
                return Fragments(table_offset=offset, table_length=length, starts=starts, sizes=sizes), position
            if tag != ITEM or length == UNDEFINED:
                _refuse(position, f"{tag_text(tag)} stands where a fragment should")
            starts.append(position)
            sizes.append(length)
            position += length

    def _end_of_meta_element(self, position: int, end: int) -> int:
        """Return the offset at which an element of the file meta information ends."""
        _group, _number, code, length = ENCODINGS[True, True].header.unpack_from(self._data, position)
        start = position + 8
        if code not in SHORT_FORM:
            _vr, start, length = self._long_form(position, end, code, length, ENCODINGS[True, True])
        if start + length > end:
            _refuse(position, "the file meta information is cut short")
        return int(start + length)

    def _only_zeros(self, position: int, end: int) -> bool:
        """Tell whether all bytes are zero. Reads them in chunks."""
        return not any(
            bytes(self._data[start : min(start + MAX_VALUE, end)]).strip(b"\0")
            for start in range(position, end, MAX_VALUE)
        )


def _refuse(position: int, reason: str) -> NoReturn:
    raise InvalidInstance(f"The DICOM instance is invalid: {reason} (byte {position}).")
