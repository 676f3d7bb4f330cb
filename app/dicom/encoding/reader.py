"""Reads data elements from random-access bytes. It touches only headers and small values (PS3.5 §7, Annex A).

The reader accepts deviations that are common in archives: odd lengths, missing delimiters within a defined length, an
implicit element in an explicit dataset. An element of known length whose inside cannot be read becomes UN, and
`oddities` names it. The reader refuses what it cannot follow: values that run past their container, a dataset that is
cut short, nesting and numbers beyond the limits. The result is always elements or `InvalidInstance`.

The limits bound time and memory. The items of a long sequence are read one at a time, so they need no memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import length_hint
from typing import Any, Final

from app.dicom.encoding import limits
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
    LargeSequence,
    LargeValue,
    RawElement,
    SequenceItem,
)
from app.dicom.encoding.encapsulated import read_fragments
from app.dicom.encoding.headers import begins_element, begins_explicit, best_reading
from app.dicom.encoding.limits import LimitExceeded, limit_exceeded, refuse
from app.dicom.encoding.padding import is_padding, only_zeros
from app.dicom.encoding.vr import BULK, LONG_FORM, SHORT_FORM, implicit_vr, tag_text
from app.errors import InvalidInstance

PIXEL_GROUP: Final = 0x7FE0
PIXEL_DATA: Final = 0x7FE00010
PIXEL_REPRESENTATION: Final = 0x00280103
IDENTIFICATION_GROUP: Final = 0x0008

ODD_HEADER: Final = "The header of the element is invalid."
ODD_SEQUENCE: Final = "The value is not a sequence of items."


class ElementReader:
    """Reads the datasets of one instance. All nesting levels share its limits.

    `top` has the elements of the dataset that were read, also after
    an error. `oddities` maps the tag of an element whose inside cannot be read to the rule that it breaks, and to
    whether the element is within a sequence.
    """

    __slots__ = (
        "_copies_values",
        "_data",
        "_header_limit",
        "_remaining",
        "_retries",
        "_signed",
        "_size",
        "_total",
        "oddities",
        "top",
    )

    def __init__(self, data: Buffer, size: int, *, signed: bool = False) -> None:
        self._data: Any = data
        self._copies_values = isinstance(data, memoryview | bytearray)
        self._size = size
        self._remaining: Iterator[int] = iter(range(limits.MAX_ELEMENTS))
        self._total = limits.MAX_TOTAL
        self._header_limit = limits.MAX_HEADER
        self._retries = limits.MAX_RETRIES
        self._signed = signed
        self.oddities: dict[int, tuple[str, bool]] = {}
        self.top: list[RawElement] = []

    def dataset(self, position: int, end: int, encoding: Encoding) -> tuple[RawElement, ...]:
        """Return all elements between two offsets, in file order.

        Padding after the last element is left out, and bytes after the pixel data that are no element.
        """
        self.top = []
        try:
            return self._elements(position, end, encoding, 0, False)[0]
        except LimitExceeded:
            raise
        except InvalidInstance:
            last = self.top[-1].tag if self.top else 0
            if self.top:
                position = self.top[-1].offset + self.top[-1].length
            after_pixels = last == PIXEL_DATA and not begins_element(self._data, position, end, last, encoding)
            if not after_pixels and not is_padding(self._data, position, end):
                raise
            return tuple(self.top)

    def group(self, position: int, end: int, group: int) -> tuple[tuple[RawElement, ...], int]:
        """Return the first elements of one group, in explicit VRs, and the offset of the next group.

        They are in little endian (PS3.10 §7.1). Some writers of big endian datasets use big endian here too.
        """
        little = bytes(self._data[position : position + 2]) != group.to_bytes(2, "big")
        encoding, start = ENCODINGS[True, little], group.to_bytes(2, "little" if little else "big")
        stop = position
        while stop + 8 <= end and bytes(self._data[stop : stop + 2]) == start:
            stop = self._end_of_meta_element(stop, end, encoding)
        return self.dataset(position, stop, encoding), stop

    def encoding(self, position: int, end: int, claimed: Encoding) -> Encoding:
        """Return the encoding of the dataset at `position`: `claimed`, unless the first element shows another one.

        The dataset is explicit if the element has a VR. The byte order is the other one if that makes the group at most
        0008. Each instance has an element of group 0008, and groups ascend.
        """
        if position + 8 > end:
            return claimed
        code = bytes(self._data[position + 4 : position + 6])
        explicit = claimed.explicit or code in SHORT_FORM or code in LONG_FORM
        high, low = bytes(self._data[position : position + 2])[:: -1 if claimed.little else 1]
        swapped = low == 0 and 0 < high <= IDENTIFICATION_GROUP
        return ENCODINGS[explicit, claimed.little != swapped]

    def _elements(
        self, position: int, end: int, encoding: Encoding, depth: int, delimited: bool
    ) -> tuple[tuple[RawElement, ...], int]:
        """Return the elements of one dataset and its end. `delimited` means an item of undefined length."""
        data, copies, explicit = self._data, self._copies_values, encoding.explicit
        unpack, number_at = encoding.header.unpack_from, encoding.number.unpack_from
        short, long, new = SHORT_FORM.get, LONG_FORM.get, tuple.__new__
        elements: list[RawElement] = []
        append = elements.append
        if not depth:
            self.top = elements
        last = end - 8
        for _ in self._remaining:
            if position > last:
                break
            if explicit:
                group, number, code, length = unpack(data, position)
                tag = group << 16 | number
                vr = short(code)
                start = position + 8
                if vr is None and group != 0xFFFE:
                    vr = long(code)
                    if vr is not None and not length and position <= end - 12:
                        (length,) = number_at(data, position + 8)
                        start = position + 12
                    if vr is None or start == position + 8 or (start + length > end and length != UNDEFINED):
                        if not tag and not delimited and only_zeros(data, position, end):
                            return tuple(elements), end
                        vr, start, length = self._odd_header(position, end, encoding, depth)
                    elif vr == "UN" and length != UNDEFINED and encoding.little:
                        # A device that did not know the VR wrote UN, in Implicit VR Little Endian (PS3.5 §6.2.2).
                        vr = implicit_vr(tag, length, signed=self._signed)
            else:
                group, number, length = unpack(data, position)
                tag = group << 16 | number
                start = position + 8
                vr = None
            if vr is None:
                if group == 0xFFFE:
                    if explicit:
                        (length,) = encoding.number.unpack_from(data, position + 4)
                    if delimited:  # the next item and the end of the sequence end an item too
                        return tuple(elements), start if tag == ITEM_END else position
                    if tag == ITEM or length:
                        refuse(position, "an item lies outside of a sequence")
                    position = start
                    continue
                if not tag and not delimited and only_zeros(self._data, position, end):
                    return tuple(elements), end
                vr = implicit_vr(tag, length, signed=self._signed)
            if length == UNDEFINED:
                element, position = self._undefined(tag, vr, start, end, encoding, depth)
                append(element)
                continue
            stop = start + length
            if stop > end:
                refuse(position, f"the value of {tag_text(tag)} runs past the end of its dataset")
            if vr in BULK:
                self._header_limit += length
                append(new(RawElement, (tag, vr, None, start, length)))
            elif vr == "SQ":
                in_un = explicit and code == b"UN"
                append(self._sequence(tag, start, stop, IMPLICIT if in_un else encoding, depth, in_un))
            elif length > limits.MAX_VALUE:
                self._header_limit += length
                append(RawElement(tag, vr, LargeValue(data=data, offset=start, length=length), start, length))
            else:
                value = data[start:stop]
                append(new(RawElement, (tag, vr, bytes(value) if copies else value, start, length)))
                if tag == PIXEL_REPRESENTATION:
                    self._signed = value[:2] in (b"\1\0", b"\0\1")
            if stop > self._header_limit:
                raise limit_exceeded(position, f"the header needs more than {limits.MAX_HEADER} bytes of memory")
            position = stop
        else:
            raise limit_exceeded(
                position, f"there are more than {limits.MAX_ELEMENTS} elements outside of long sequences"
            )
        if position != end and (delimited or not only_zeros(self._data, position, end)):
            refuse(position, "the dataset ends within an element")
        return tuple(elements), end

    def _odd_header(self, position: int, end: int, encoding: Encoding, depth: int) -> tuple[str, int, int]:
        """Return VR, value offset and value length of an element whose header does not have the form of its VR."""
        group, number, code, short_length = encoding.header.unpack_from(self._data, position)
        tag = group << 16 | number
        if position + 12 > end and code in LONG_FORM and not short_length:
            refuse(position, "the dataset ends within an element")
        reading = best_reading(self._data, position, end, encoding, signed=self._signed)
        if reading is None:
            refuse(position, f"the value of {tag_text(tag)} runs past the end of its dataset")
        if reading.is_odd:
            self._report(tag, ODD_HEADER, depth)
        return reading.vr, reading.start, reading.length

    def _undefined(
        self, tag: int, vr: str, start: int, end: int, encoding: Encoding, depth: int
    ) -> tuple[RawElement, int]:
        """Return an element of undefined length, a sequence or fragments, and the position after its delimiter.

        Items of known length are followed although their inside cannot be read. The element is then UN.
        """
        if vr in BULK and (vr != "UN" or tag >> 16 == PIXEL_GROUP):
            fragments, stop = self._fragments(start, end, encoding)
            return RawElement(tag, vr, fragments, start, stop - start), stop
        if vr != "SQ" and vr != "UN":
            self._report(tag, ODD_HEADER, depth)
        known = len(self.oddities)
        for inner in self._forms(vr, start, end, encoding):
            try:
                items, stop = self._items(start, end, inner, depth + 1, True)
            except LimitExceeded:
                raise
            except InvalidInstance as error:
                self._forget(known)
                reason = error
                if not self._retries:
                    break
                self._retries -= 1
            else:
                is_sequence = vr in ("SQ", "UN") and inner.little == encoding.little
                value = items if is_sequence else None
                return RawElement(tag, "SQ" if is_sequence else "UN", value, start, stop - start), stop
        try:
            fragments, stop = self._fragments(start, end, encoding)
        except InvalidInstance:
            raise reason from None
        if vr == "SQ":
            self._report(tag, ODD_SEQUENCE, depth)
        is_fragments = vr == "UN" and not depth
        return RawElement(tag, "UN", fragments if is_fragments else None, start, stop - start), stop

    def _forms(self, vr: str, start: int, end: int, encoding: Encoding) -> tuple[Encoding, Encoding]:
        """Return the forms in which the items of an element of undefined length are read, the likely one first.

        UN of undefined length is a sequence in Implicit VR Little Endian (PS3.5 §6.2.2). Some devices write VRs in it.
        """
        other = ENCODINGS[not encoding.explicit, encoding.little]
        if vr != "UN" or not encoding.explicit:
            return encoding, other
        if begins_explicit(self._data, start, end, encoding):
            return encoding, IMPLICIT
        return IMPLICIT, encoding

    def _sequence(self, tag: int, start: int, stop: int, encoding: Encoding, depth: int, in_un: bool) -> RawElement:
        """Return a sequence of known length, or an element of VR UN if the value does not consist of items.

        The items are read in the other form of VRs if they cannot be read in the one of the dataset. `in_un` means that
        the element has VR UN in the file. The standard permits that it does not hold items.
        """
        known = len(self.oddities)
        for inner in (encoding, ENCODINGS[not encoding.explicit, encoding.little]):
            try:
                items, _end = self._items(start, stop, inner, depth + 1, False)
                return RawElement(tag, "SQ", items, start, stop - start)
            except LimitExceeded:
                raise
            except InvalidInstance:
                self._forget(known)
                if not self._retries or bytes(self._data[start : start + 4]) not in _ITEMS:
                    break
                self._retries -= 1
        self._header_limit += stop - start
        if not in_un:
            self._report(tag, ODD_SEQUENCE, depth)
        return RawElement(tag, "UN", None, start, stop - start)

    def _items(
        self, position: int, end: int, encoding: Encoding, depth: int, delimited: bool
    ) -> tuple[tuple[SequenceItem, ...] | LargeSequence, int]:
        """Return the items of a sequence and its end. A sequence that is not `delimited` ends at `end`."""
        if depth > limits.MAX_DEPTH:
            raise limit_exceeded(position, f"sequences are nested deeper than {limits.MAX_DEPTH}")
        begin = position
        large = begin + limits.LARGE if depth <= limits.LARGE_DEPTH else end
        items: list[SequenceItem] = []
        for _ in self._remaining:
            item, position = self._item(position, end, encoding, depth, delimited)
            if item is None:
                return tuple(items), position
            items.append(item)
            if position > large:
                items.clear()
                return self._large(begin, position, end, encoding, depth, delimited)
        raise limit_exceeded(position, f"there are more than {limits.MAX_ELEMENTS} elements outside of long sequences")

    def _item(
        self, position: int, end: int, encoding: Encoding, depth: int, delimited: bool
    ) -> tuple[SequenceItem | None, int]:
        """Return the item at `position` and the offset after it; None and the end if the sequence ends there."""
        if position + 8 > end:
            if position != end or (delimited and end == self._size):
                refuse(position, "the sequence is cut short")
            return None, end
        group, number, length = encoding.item.unpack_from(self._data, position)
        tag = group << 16 | number
        start = position + 8
        if tag == SEQUENCE_END and (delimited or start == end):
            return None, start
        if tag == ITEM_END and delimited:
            return None, position
        if tag != ITEM:
            if not delimited and only_zeros(self._data, position, end):
                return None, end
            refuse(position, f"{tag_text(tag)} stands where an item should")
        if length == UNDEFINED:
            item, position = self._elements(start, end, encoding, depth, True)
        elif start + length > end:
            refuse(position, "an item runs past the end of its sequence")
        else:
            item, position = self._elements(start, start + length, encoding, depth, False)
        return item, position

    def _large(
        self, begin: int, position: int, end: int, encoding: Encoding, depth: int, delimited: bool
    ) -> tuple[LargeSequence, int]:
        """Check the items from `position` on. Return all items from `begin` on as a `LargeSequence`, and their end."""
        signed, limit = self._signed, self._header_limit
        for _item, stop in self._each(position, end, encoding, depth, delimited):
            position = stop
        self._signed, self._header_limit = signed, limit + position - begin
        return _Items(self._data, self._size, signed, (begin, end, encoding, depth, delimited)), position

    def each_item(
        self, begin: int, end: int, encoding: Encoding, depth: int, delimited: bool
    ) -> Iterator[SequenceItem]:
        """Yield the items of a sequence. Only one is in memory at a time."""
        for item, _stop in self._each(begin, end, encoding, depth, delimited):
            if item is not None:
                yield item

    def _each(
        self, position: int, end: int, encoding: Encoding, depth: int, delimited: bool
    ) -> Iterator[tuple[SequenceItem | None, int]]:
        """Yield each item with the offset after it, then None with the end of the sequence.

        Each item has the limits of a whole dataset, because the items are not kept.
        """
        outer = self._remaining
        try:
            item: SequenceItem | None = ()
            while item is not None:
                self._remaining = iter(range(limits.MAX_ELEMENTS))
                self._header_limit = position + limits.MAX_HEADER
                item, position = self._item(position, end, encoding, depth, delimited)
                self._total -= limits.MAX_ELEMENTS + 1 - length_hint(self._remaining)
                if self._total < 0:
                    raise limit_exceeded(position, f"there are more than {limits.MAX_TOTAL} elements")
                yield item, position
        finally:
            self._remaining = outer

    def _fragments(self, start: int, end: int, encoding: Encoding) -> tuple[Fragments, int]:
        """Return the fragments of encapsulated data and the position after its delimiter."""
        fragments, stop = read_fragments(self._data, start, end, encoding)
        # The header does not include the fragments, but their places are in memory.
        self._header_limit += stop - start - 8 * len(fragments.starts)
        return fragments, stop

    def _end_of_meta_element(self, position: int, end: int, encoding: Encoding) -> int:
        """Return the offset at which an element of the file meta information ends."""
        _group, _number, code, length = encoding.header.unpack_from(self._data, position)
        start = position + 8
        if code not in SHORT_FORM:
            reading = best_reading(self._data, position, end, encoding, signed=False)
            start, length = (reading.start, reading.length) if reading else (start, end)
        if start + length > end:
            if end < self._size:
                raise limit_exceeded(position, f"the file meta information has more than {limits.MAX_META} bytes")
            refuse(position, "the file meta information is cut short")
        return int(start + length)

    def _report(self, tag: int, rule: str, depth: int) -> None:
        """Record an element that breaks a rule. One at the top level replaces one of the same tag in a sequence."""
        known = self.oddities.get(tag)
        if known is None or (known[1] and not depth):
            self.oddities[tag] = (rule, depth > 0)

    def _forget(self, number: int) -> None:
        """Keep only the first oddities: the others come from a reading that was wrong."""
        while len(self.oddities) > number:
            self.oddities.popitem()


class _Items:
    """A `LargeSequence`: where its items are. It has no reference to the reader that found it."""

    __slots__ = ("_data", "_place", "_signed", "_size")

    def __init__(self, data: Buffer, size: int, signed: bool, place: tuple[int, int, Encoding, int, bool]) -> None:
        self._data = data
        self._size = size
        self._signed = signed
        self._place = place

    def __iter__(self) -> Iterator[SequenceItem]:
        return ElementReader(self._data, self._size, signed=self._signed).each_item(*self._place)


_ITEMS: Final = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""The tag of an item in little and in big endian."""
