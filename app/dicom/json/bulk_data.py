"""Bulk data in the stored JSON text of a dataset (PS3.18 §F.2.2, §F.2.6, §F.2.7, conformance §4.14).

A stored text names bulk data by its path and its place in the file, because it is served under many URLs:

    "7FE00010":{"vr":"OW","BulkDataURI":"7FE00010?1456,524288"}

The path is as in `app/dicom/encoding/bulk_data.py`. Offset and length of the value follow, in bytes; they are absent if
the value consists of fragments. A third number is the size of its words in big endian. A `z` at the end says that the
file is deflated. A short binary value has `InlineBinary` instead. It is empty if the value is empty.

The text of a large element consists of lines. An element of bulk data is never split over lines, and neither are the
characters before and after it. A long value of numbers or text has both forms. Each line of its values begins with a
tab:

    "30060050":{"vr":"DS","BulkDataURI":"30060039/0/30060050?8000,1200000"
    <tab>,"Value":[1,2,3
    <tab>]
    }

JSON text has no other line breaks and tabs: within strings they are escaped.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final, NamedTuple

import orjson

from app.dicom.encoding.bulk_data import BulkPlace
from app.dicom.encoding.elements import Buffer, Fragments, LargeSequence, LargeValue, SequenceItem
from app.dicom.encoding.frames import pixel_word
from app.dicom.encoding.part10 import PIXEL_TAGS, Part10
from app.dicom.encoding.transcode import swapped
from app.dicom.encoding.vr import WORD_SIZE
from app.dicom.json.dataset import JsonDataset, JsonElement

INLINE_BINARY_BYTES: Final = 512
"""The default size of the largest binary value that is inline. A palette of 256 colours has 512 bytes for each one."""
INLINE_VALUE_BYTES: Final = 1 << 20
"""The default size of the largest value of numbers or text that is inline."""
MAX_INLINE: Final = 1 << 20
"""Bytes of the binary values of one dataset that are inline. Further values have a place."""
MAX_PLACES: Final = 500_000
"""The largest number of places that the text of one dataset has."""
TOO_MANY: Final = f"the dataset has more than {MAX_PLACES} elements of bulk data; further ones are not in the metadata"

LONG_VALUE_VRS: Final = frozenset({"DS", "FD", "FL", "IS", "LT", "SL", "SS", "ST", "SV", "UC", "UL", "US", "UT", "UV"})
"""VRs of numbers and text that may have a BulkDataURI (PS3.18 §F.2.2). The binary VRs may have one too."""
PIXELS: Final = frozenset(f"{tag:08X}" for tag in PIXEL_TAGS)
"""Keys of pixel data, which is never inline: viewers read it by its own resources."""

_ELEMENT: Final = re.compile(rb'"vr":"..","BulkDataURI":"([^"]*)"')
_PLACE: Final = re.compile(r"(\d+),(\d+)(?:,(\d))?(z?)", re.ASCII)

Text = bytes | Iterator[bytes]
"""The JSON text of a dataset: whole, or in chunks if it is very large."""


class NotedElement(NamedTuple):
    """An element of bulk data that a stored text names. `place` is None for a value in fragments."""

    path: str
    place: BulkPlace | None

    @classmethod
    def of(cls, uri: str) -> NotedElement:
        """Return what a stored BulkDataURI says."""
        path, _, text = uri.partition("?")
        match = _PLACE.fullmatch(text)
        if match is None:
            return cls(path, None)
        offset, length, word, deflated = match.groups()
        return cls(path, BulkPlace(int(offset), int(length), int(word or 1), bool(deflated)))

    @property
    def uri(self) -> str:
        """The stored BulkDataURI."""
        if self.place is None:
            return self.path
        offset, length, word, deflated = self.place
        return f"{self.path}?{offset},{length}{_suffix(word, deflated)}"

    def moved(self, shift: int) -> NotedElement:
        """Return the element in a file whose bytes lie `shift` bytes later."""
        place = self.place
        return self if place is None else self._replace(place=place._replace(offset=place.offset + shift))


def _suffix(word: int, deflated: bool) -> str:
    return (f",{word}" if word > 1 else "") + ("z" if deflated else "")


class BulkElements:
    """Makes the elements of bulk data of one dataset.

    `data` is the bytes that `part10` was parsed from. Without it, and for a deflated file, no value is inline.
    `inline_bytes` is the size of the largest inline value.
    """

    __slots__ = ("_data", "_deflated", "_inline_bytes", "_inline_left", "_little", "_pixel_word", "places_left")

    def __init__(self, part10: Part10, data: Buffer | None, *, inline_bytes: int) -> None:
        self._data = b"" if data is None else data
        self._little = part10.little
        self._pixel_word = pixel_word(part10)
        self._deflated = part10.transfer_syntax.deflated
        self._inline_bytes = 0 if data is None or self._deflated else inline_bytes
        self._inline_left = MAX_INLINE
        self.places_left = MAX_PLACES

    def binary(
        self,
        vr: str,
        value: bytes | tuple[SequenceItem, ...] | LargeSequence | LargeValue | Fragments | None,
        place: tuple[int, int],
        path: str,
    ) -> JsonElement:
        """Return the element of a binary value: inline, or with its place."""
        if isinstance(value, Fragments):
            self.places_left -= 1
            return {"vr": vr, "BulkDataURI": path}
        offset, length = place
        if not length:
            return {"vr": vr, "InlineBinary": ""}
        if length <= self._inline_bytes and path not in PIXELS and self._inline_left >= length:
            self._inline_left -= length
            return {"vr": vr, "InlineBinary": self._encoded(vr, offset, length)}
        return self.with_place(vr, place, path)

    def with_place(self, vr: str, place: tuple[int, int], path: str) -> JsonElement:
        """Return the element of a value that is read from the file."""
        self.places_left -= 1
        offset, length = place
        suffix = ""
        if not self._little or self._deflated:
            suffix = _suffix(self._pixel_word if path in PIXELS else self._word(vr), self._deflated)
        return {"vr": vr, "BulkDataURI": f"{path}?{offset},{length}{suffix}"}

    def _word(self, vr: str) -> int:
        return 1 if self._little else WORD_SIZE.get(vr, 1)

    def _encoded(self, vr: str, offset: int, length: int) -> str:
        raw = bytes(self._data[offset : offset + length])
        return base64.b64encode(swapped(raw, self._word(vr))).decode()


# --- what a stored text names -------------------------------------------------------------------------------------


def whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same text, cut after lines."""
    begun: list[bytes] = []
    for chunk in chunks:
        cut = chunk.rfind(b"\n") + 1
        if cut:
            yield b"".join((*begun, chunk[:cut]))
            begun = []
        begun.append(chunk[cut:])
    yield b"".join(begun)


def noted_elements(text: Text) -> Iterator[NotedElement]:
    """Yield the elements of bulk data in a text that have a BulkDataURI, in the order of the dataset."""
    for lines in (text,) if isinstance(text, bytes) else whole_lines(text):
        for uri in _ELEMENT.findall(lines):
            yield NotedElement.of(uri.decode())


def noted_element(element: JsonElement) -> NotedElement | None:
    """Return what the BulkDataURI of an element in a stored dataset says, None if it has none."""
    uri = element.get("BulkDataURI")
    return None if uri is None else NotedElement.of(uri)


# --- changes of a stored dataset ----------------------------------------------------------------------------------


def move_places(dataset: JsonDataset, new_offset: Callable[[int], int]) -> None:
    """Change the places in a stored dataset, at every depth. `new_offset` returns the new offset for an old one."""
    for tag, element in dataset.items():
        noted = noted_element(element)
        if noted is not None and noted.place is not None:
            offset = noted.place.offset
            dataset[tag] = {**element, "BulkDataURI": noted.moved(new_offset(offset) - offset).uri}
        elif element["vr"] == "SQ":
            for item in element.get("Value", ()):
                move_places(item, new_offset)


def stored_text(dataset: JsonDataset, shortened: Collection[str] = ()) -> bytes:
    """Return the text of a stored dataset, in lines. The long values of the tags `shortened` are elsewhere."""
    return orjson.dumps(_in_lines(dataset, shortened))


def _in_lines(dataset: JsonDataset, shortened: Collection[str]) -> dict[str, Any]:
    return {tag: element if tag in shortened else _element_in_lines(element) for tag, element in dataset.items()}


def _element_in_lines(element: JsonElement) -> JsonElement:
    if element["vr"] == "SQ" and "Value" in element:
        return {"vr": "SQ", "Value": [_in_lines(item, ()) for item in element["Value"]]}
    if "BulkDataURI" not in element or "Value" not in element:
        return element
    uri, values = orjson.dumps(element["BulkDataURI"]), orjson.dumps(element["Value"])
    return {"vr": element["vr"], "BulkDataURI": orjson.Fragment(uri + b'\n\t,"Value":' + values + b"\n")}
