"""Typed access to the attributes of a dataset, for code that interprets values: pixels, documents, waveforms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from struct import Struct
from typing import Final, Literal

from app.dicom.encoding.charsets import DEFAULT, SPECIFIC_CHARACTER_SET, Charset, charset
from app.dicom.encoding.elements import Buffer, Fragments, LargeValue, RawElement, SequenceItem
from app.dicom.encoding.limits import MAX_VALUE
from app.dicom.encoding.part10 import PIXEL_TAGS, Part10, parse
from app.dicom.encoding.transcode import swapped
from app.dicom.encoding.vr import WORD_SIZE
from app.errors import InvalidInstance

_CODES: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d", "OW": "H"} | {
    "OB": "B", "OF": "f", "OD": "d", "OL": "I", "OV": "Q", "AT": "H", "UN": "B",
}  # fmt: skip
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_MAX_DIGITS: Final = 64
_MAX_TRIES: Final = 16
"""How often the bytes of a tag are taken for the header of the pixel data. It bounds the time."""
_ORDERS: Final[tuple[Literal["little", "big"], ...]] = ("little", "big")


class AttributeReader:
    """Reads the attributes of one dataset. Absent, empty and unreadable values are all "no value".

    Values are read from `data` when they are asked for, so large ones cost nothing before.
    """

    __slots__ = ("_by_tag", "_charset", "_data", "_little")

    def __init__(
        self, data: Buffer, elements: Iterable[RawElement], *, little: bool = True, text: Charset = DEFAULT
    ) -> None:
        self._data = data
        self._by_tag = {element.tag: element for element in elements}
        self._little = little
        declared = self._by_tag.get(SPECIFIC_CHARACTER_SET)
        self._charset = charset(declared.value) if declared and isinstance(declared.value, bytes) else text

    @classmethod
    def of(cls, data: Buffer, part10: Part10) -> AttributeReader:
        """Return the reader of a file. `data` is the bytes that `part10` was parsed from."""
        return cls(data, part10.elements, little=part10.little)

    def __contains__(self, tag: int) -> bool:
        return tag in self._by_tag

    def __iter__(self) -> Iterator[int]:
        """Yield the tags in the order of the file."""
        return iter(self._by_tag)

    def vr(self, tag: int) -> str:
        """Return the VR of an attribute, "" if it is absent."""
        element = self._by_tag.get(tag)
        return element.vr if element else ""

    def length(self, tag: int) -> int:
        """Return the number of bytes of a value. 0 if it is absent, a sequence or encapsulated data."""
        element = self._by_tag.get(tag)
        if element is None or element.items is not None or isinstance(element.value, Fragments):
            return 0
        return element.length

    def data(self, tag: int) -> bytes:
        """Return the bytes of a value in little endian. Empty for a sequence and for encapsulated data."""
        return self.part(tag, 0, self.length(tag))

    def part(self, tag: int, start: int, stop: int) -> bytes:
        """Return the bytes of a value from `start` to before `stop`, in little endian. Both lie between words."""
        stop = min(stop, self.length(tag))
        if start >= stop:
            return b""
        element = self._by_tag[tag]
        if isinstance(element.value, LargeValue):
            raw = element.value.read(start, stop)
        elif element.value is None:
            raw = bytes(self._data[element.offset + start : element.offset + stop])
        else:
            raw = bytes(element.value)[start:stop]  # type: ignore[arg-type]  # `length` is 0 for other kinds of values
        return raw if self._little else swapped(raw, WORD_SIZE.get(element.vr, 1))

    def texts(self, tag: int) -> list[str]:
        """Return the values of an attribute as text, without padding. A very long value ends at `MAX_VALUE` bytes."""
        element = self._by_tag.get(tag)
        if element is None:
            return []
        if element.vr in _CODES and element.vr != "UN":
            return [str(number) for number in self.numbers(tag)]
        whole = self._charset.decode(self.part(tag, 0, MAX_VALUE), element.vr).strip("\0")
        values = [whole] if element.vr in ("LT", "ST", "UT", "UR") else whole.split("\\")
        return [value.strip(" \0") for value in values] if whole.strip(" \0") else []

    def text(self, tag: int) -> str:
        """Return the first value of an attribute as text without padding, "" if there is none."""
        return next(iter(self.texts(tag)), "")

    def numbers(self, tag: int) -> list[float]:
        """Return the values of an attribute that are numbers: of DS and IS, and of the words of binary VRs.

        A very long value ends at `MAX_VALUE` bytes. `part` has all its bytes.
        """
        element = self._by_tag.get(tag)
        if element is None:
            return []
        raw = self.part(tag, 0, MAX_VALUE)
        code = _CODES.get(element.vr)
        if code is None:
            texts = raw.decode("latin-1").split("\\")
            return [float(text) for each in texts if _is_number(text := each.strip(" \0"))]
        word = Struct(f"<{code}")
        whole = len(raw) - len(raw) % word.size
        return [number for (number,) in word.iter_unpack(raw[:whole])]

    def number(self, tag: int) -> float | None:
        """Return the first value of an attribute that is a number, None if there is none."""
        return next(iter(self.numbers(tag)), None)

    def integer(self, tag: int, default: int) -> int:
        """Return the first value of an attribute as an integer, `default` if there is none."""
        number = self.number(tag)
        return int(number) if number is not None and abs(number) < 1 << 63 else default

    def items(self, tag: int) -> Iterator[AttributeReader]:
        """Yield the items of a sequence. Items of a very long sequence are read one at a time."""
        element = self._by_tag.get(tag)
        for item in (element.items if element else None) or ():
            yield self._nested(item)

    def item(self, tag: int, index: int = 0) -> AttributeReader | None:
        """Return an item of a sequence, None if there is none. A very long sequence is read up to the item."""
        element = self._by_tag.get(tag)
        items = (element.items if element else None) or ()
        if isinstance(items, tuple):
            return self._nested(items[index]) if index < len(items) else None
        return next((self._nested(item) for item in islice(items, index, None)), None)

    def is_large(self, tag: int) -> bool:
        """Return True for a sequence whose items are read from the file again each time."""
        element = self._by_tag.get(tag)
        return element is not None and element.items is not None and not isinstance(element.items, tuple)

    def _nested(self, item: SequenceItem) -> AttributeReader:
        return AttributeReader(self._data, item, little=self._little, text=self._charset)


def before_pixels(data: bytes) -> tuple[Part10, int]:
    """Return the layout of a file before its pixel data, and the tag of the pixel data.

    `data` is the first bytes of the file. They end within the pixel data or right before its value. Raises
    `InvalidInstance` if no element before them ends there.
    """
    for tag in PIXEL_TAGS:
        for order in _ORDERS:
            mark = (tag >> 16).to_bytes(2, order) + (tag & 0xFFFF).to_bytes(2, order)
            end = len(data)
            for _ in range(_MAX_TRIES):
                end = data.rfind(mark, 0, end)
                if end < 0:
                    break
                try:
                    return parse(data[:end]), tag
                except InvalidInstance:
                    continue  # these bytes are a part of a value
    raise InvalidInstance("The DICOM instance is invalid: its pixel data was not found.")


def _is_number(text: str) -> bool:
    return len(text) <= _MAX_DIGITS and _NUMBER.fullmatch(text) is not None
