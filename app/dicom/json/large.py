"""Writes elements that are too large for memory as DICOM JSON, piece by piece (PS3.18 §F.2).

The text goes into a temporary file beyond 1 MiB. Only one item of a sequence, or one piece of a value, is in memory.
It consists of lines, which `bulk_data` describes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from app.dicom.encoding.charsets import SPECIFIC_CHARACTER_SET, Charset, charset
from app.dicom.encoding.elements import LargeSequence, LargeValue, RawElement, SequenceItem
from app.dicom.encoding.vr import BULK, WORD_SIZE
from app.dicom.json.bulk_data import LONG_VALUE_VRS, BulkElements
from app.dicom.json.dataset import JsonDataset, JsonElement
from app.dicom.json.values import convert
from app.errors import StorageUnavailable

LARGE_VALUE: Final = 1 << 16
"""Bytes. The values of a longer element are not kept in memory."""
PIECE: Final = 1 << 18
"""Bytes of a very long value that are converted at once; a multiple of every word size."""
MAX_TEXT: Final = 16 << 20
"""The largest size of a text that cannot be converted in pieces, in bytes."""
TOO_LONG: Final = f"value exceeds {MAX_TEXT} bytes and is not in the metadata"

_MEMORY: Final = 1 << 20
_CHUNK: Final = 1 << 18
_IN_PIECES: Final = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI"}) | WORD_SIZE.keys()
"""VRs of several values whose bytes have no character set, so that they can be split."""

Report = Callable[[int, str, str, bool], None]
"""Records a broken rule: tag, VR, text, and whether the element lies within a sequence."""
Small = Callable[[SequenceItem, Charset, str], JsonDataset]
"""Returns the dataset of elements of a sequence that are all small. The text is the path of their item."""


class LargeText:
    """The JSON texts of the large elements of one dataset, one after another. `size` is in bytes.

    `folder` is for the temporary file, None for the folder of the system. Raises `StorageUnavailable` if the file
    cannot be written.
    """

    __slots__ = ("_file", "size")

    def __init__(self, folder: Path | None = None) -> None:
        # The file ends with its owner.
        self._file: Any = tempfile.SpooledTemporaryFile(max_size=_MEMORY, dir=str(folder) if folder else None)  # noqa: SIM115
        self.size = 0

    def write(self, text: bytes) -> None:
        """Append a piece of text."""
        try:
            self._file.write(text)
        except OSError as error:
            raise StorageUnavailable from error
        self.size += len(text)

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the text from one offset to another."""
        self._file.seek(start)
        while start < stop:
            chunk = self._file.read(min(_CHUNK, stop - start))
            start += len(chunk)
            yield chunk


def is_large(element: RawElement) -> bool:
    """Tell whether an element is too large to be an object in memory."""
    value = element.value
    if isinstance(value, bytes):
        return len(value) > LARGE_VALUE
    return isinstance(value, LargeValue) or (element.items is not None and not isinstance(value, tuple))


class LargeWriter:
    """Writes large elements.

    `small` converts the small elements of their items, `report` records broken rules. A value of more than
    `inline_value_bytes` gets a place, which `bulk` makes.
    """

    def __init__(
        self, little: bool, small: Small, report: Report, bulk: BulkElements, *, inline_value_bytes: int
    ) -> None:
        self._little = little
        self._small = small
        self._report = report
        self._bulk = bulk
        self._inline_value_bytes = inline_value_bytes

    def write(self, element: RawElement, text: Charset, out: LargeText, path: str = "") -> JsonElement:
        """Write a large element. Return it with its first two values at most.

        `path` is the path of its item with a slash at the end, empty at the top level.
        """
        items = element.items
        if items is None:
            return self._value(element, text, out, path)
        self._sequence(items, text, out, f"{path}{element.tag:08X}/")
        return {"vr": "SQ"}

    def _sequence(
        self, items: LargeSequence | tuple[SequenceItem, ...], text: Charset, out: LargeText, path: str
    ) -> None:
        separator = b'{"vr":"SQ","Value":['
        for number, item in enumerate(items):
            out.write(separator)
            self._item(item, text, out, f"{path}{number}/")
            separator = b"\n,"
        out.write(b"]}")

    def _item(self, item: SequenceItem, text: Charset, out: LargeText, path: str) -> None:
        large = [each for each in item if is_large(each) and each.vr not in BULK]
        if not large:
            out.write(orjson.dumps(self._small(item, text, path)))
            return
        separator, run = b"{", []
        for element in item:
            if element.tag == SPECIFIC_CHARACTER_SET and isinstance(element.value, bytes):
                text = charset(element.value)
            if element not in large:
                run.append(element)
                continue
            separator = self._run(run, text, out, separator, path)
            run = []
            out.write(separator + f'"{element.tag:08X}":'.encode())
            separator = b","
            self.write(element, text, out, path)
        self._run(run, text, out, separator, path)
        out.write(b"}")

    def _run(self, elements: list[RawElement], text: Charset, out: LargeText, separator: bytes, path: str) -> bytes:
        """Write small elements that follow each other. Return the separator of the next element."""
        members = orjson.dumps(self._small(tuple(elements), text, path))[1:-1]
        if not members:
            return separator
        out.write(separator + members)
        return b","

    def _value(self, element: RawElement, text: Charset, out: LargeText, path: str) -> JsonElement:
        tag, vr, nested = element.tag, element.vr, bool(path)
        shortened: JsonElement = {"vr": vr}
        begin = b"\n"
        if vr in LONG_VALUE_VRS and element.length > self._inline_value_bytes:
            place = (element.offset, element.length)
            shortened = self._bulk.with_place(vr, place, f"{path}{tag:08X}")
            begin = b"\n\t"
        out.write(orjson.dumps(shortened)[:-1])
        fault, separator = None, b',"Value":['
        for piece in self._pieces(element):
            converted, _count, reason = convert(vr, piece, text, self._little)
            fault = fault or reason
            values = converted.get("Value", [])
            if values and "Value" not in shortened:
                shortened["Value"] = values[:2]
            if values:
                out.write(begin + separator + orjson.dumps(values)[1:-1])
                separator = b","
        if "Value" in shortened:
            out.write(begin + b"]")
        elif element.length > MAX_TEXT and "BulkDataURI" not in shortened and vr not in _IN_PIECES:
            fault = TOO_LONG
        out.write(b"\n}")
        if fault is not None:
            self._report(tag, vr, fault, nested)
        return shortened

    def _pieces(self, element: RawElement) -> Iterator[bytes]:
        """Yield the bytes of a value in pieces that can be converted alone; none if it is too long for that."""
        value = element.value
        if isinstance(value, bytes):
            yield value
        elif isinstance(value, LargeValue) and element.vr in _IN_PIECES:
            yield from _split(value, at_words=element.vr in WORD_SIZE)
        elif isinstance(value, LargeValue) and value.length <= MAX_TEXT:
            yield value.read(0, value.length)


def _split(value: LargeValue, *, at_words: bool) -> Iterator[bytes]:
    """Yield a long value in pieces, cut between words or at backslashes."""
    position = 0
    while position < value.length:
        piece = value.read(position, position + PIECE)
        stop = position + len(piece)
        cut = -1 if at_words or stop >= value.length else piece.rfind(b"\\")
        if cut >= 0:
            piece = piece[:cut]
            stop = position + cut + 1
        position = stop
        yield piece
