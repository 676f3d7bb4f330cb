"""Finds the patches on the bytes of a dataset that give attributes new values.

A patch consists of new bytes and spans of the old file. It replaces only what changes: the attributes, existing group
lengths and, if text is converted to ISO_IR 192 (UTF-8), every element with text that is not plain ASCII.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any, Final, NamedTuple

from app.dicom.encoding.charsets import SPECIFIC_CHARACTER_SET, Charset, charset
from app.dicom.encoding.elements import (
    ENCODINGS,
    IMPLICIT,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    Buffer,
    Encoding,
    LargeValue,
    RawElement,
    SequenceItem,
)
from app.dicom.encoding.headers import begins_explicit
from app.dicom.encoding.part10 import Part10
from app.dicom.encoding.vr import LONG_FORM, tag_text
from app.errors import InvalidInstance

UTF_8: Final = b"ISO_IR 192"

_TEXT: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""VRs that Specific Character Set applies to (PS3.5 §6.1.2.3)."""
_CHUNK: Final = 1 << 20
_ESCAPE: Final = b"\x1b"


class Span(NamedTuple):
    """The bytes of the old file, inflated if it is deflated, from `start` to before `stop`."""

    start: int
    stop: int


Piece = bytes | Span


class Patch(NamedTuple):
    """Pieces that replace the bytes from `start` to before `stop`, which belong to an element of `group`."""

    start: int
    stop: int
    group: int
    pieces: tuple[Piece, ...]

    @property
    def growth(self) -> int:
        return sum(map(size_of, self.pieces)) - (self.stop - self.start)


def size_of(piece: Piece) -> int:
    """Return the size of a piece in bytes."""
    return piece.stop - piece.start if isinstance(piece, Span) else len(piece)


def _header(encoding: Encoding, tag: int, vr: str, length: int) -> bytes:
    """Return the header of an element. A value too long for the short form becomes UN (PS3.5 §6.2.2)."""
    group, number, code = tag >> 16, tag & 0xFFFF, vr.encode()
    if not encoding.explicit:
        return encoding.header.pack(group, number, length)
    if code not in LONG_FORM and length <= 0xFFFF:
        return encoding.header.pack(group, number, code, length)
    return encoding.header.pack(group, number, code if code in LONG_FORM else b"UN", 0) + encoding.number.pack(length)


def written_element(encoding: Encoding, tag: int, vr: str, value: bytes) -> bytes:
    """Return the bytes of an element: its header, and its value padded to an even length."""
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    return _header(encoding, tag, vr, len(value)) + value


def _item(encoding: Encoding, tag: int, length: int = 0) -> bytes:
    return encoding.item.pack(tag >> 16, tag & 0xFFFF, length)


def header_start(data: Buffer, element: RawElement, encoding: Encoding) -> int:
    """Return the offset of the header of an element: 8 or 12 bytes before its value, where its tag is."""
    tag = encoding.item.pack(element.tag >> 16, element.tag & 0xFFFF, 0)[:4]
    return element.offset - (8 if bytes(data[element.offset - 8 : element.offset - 4]) == tag else 12)


class PatchFinder:
    """Finds the patches for one dataset."""

    def __init__(self, data: Buffer, part10: Part10) -> None:
        self._data: Any = data
        self._part10 = part10
        explicit = part10.explicit and not self._starts_without_vr()
        self._encoding = ENCODINGS[explicit, part10.little]

    def patches(self, written: Mapping[int, tuple[str, bytes]], old: Charset | None) -> list[Patch]:
        """Return the patches in file order. `old` is the character set of text to convert, None to convert nothing."""
        to_write = {tag: written_element(self._encoding, tag, *written[tag]) for tag in sorted(written)}
        missing = [tag for tag in to_write if tag not in self._part10.by_tag]
        patches: list[Patch] = []
        position = self._part10.dataset_offset
        for element in self._part10.elements:
            stop = element.offset + element.length
            while missing and missing[0] < element.tag:
                patches.append(_patch(position, position, missing[0], to_write[missing.pop(0)]))
            if element.tag in written:  # the new file does not repeat the attribute if the old one does
                patches.append(_patch(position, stop, element.tag, to_write.pop(element.tag, b"")))
            elif old is not None and (pieces := self._converted(element, old, self._encoding)):
                patches.append(Patch(position, stop, element.tag >> 16, tuple(pieces)))
            position = stop
        patches += [_patch(position, position, tag, to_write[tag]) for tag in missing]
        return sorted(patches + self._group_lengths(patches), key=attrgetter("start", "stop"))

    def _starts_without_vr(self) -> bool:
        """Return whether the first element has no VR. Readers then assume implicit VRs for every transfer syntax."""
        begin = self._part10.dataset_offset
        return bool(self._part10.elements) and not bytes(self._data[begin + 4 : begin + 6]).isalpha()

    def _group_lengths(self, patches: list[Patch]) -> list[Patch]:
        """Return patches that correct existing group lengths. They are retired, but must be right (PS3.5 §7.2)."""
        growth: dict[int, int] = {}
        for patch in patches:
            growth[patch.group] = growth.get(patch.group, 0) + patch.growth
        found = []
        for element in self._part10.elements:
            grown = growth.get(element.tag >> 16, 0)
            if not element.tag & 0xFFFF and grown and element.length == 4:
                (length,) = self._encoding.number.unpack(self._data[element.offset : element.offset + 4])
                new = self._encoding.number.pack(max(0, length + grown))
                found.append(_patch(element.offset, element.offset + 4, element.tag, new))
        return found

    # --- conversion to ISO_IR 192 ---

    def _converted(self, element: RawElement, old: Charset, encoding: Encoding) -> list[Piece] | None:
        """Return an element with its text in UTF-8, None if nothing changes."""
        if element.items is not None:
            return self._sequence(element, element.items, old, encoding)
        if element.vr not in _TEXT:
            return None
        if element.value is None or isinstance(element.value, LargeValue):
            self._require_ascii(element)
            return None
        raw = bytes(element.value) if isinstance(element.value, bytes) else b""
        if raw.isascii() and _ESCAPE not in raw:
            return None
        value = old.decode(raw, element.vr).encode()
        if len(value) % 2 and value.endswith(b" "):
            value = value[:-1]
        return [written_element(encoding, element.tag, element.vr, value)]

    def _sequence(
        self, element: RawElement, items: Iterable[SequenceItem], old: Charset, encoding: Encoding
    ) -> list[Piece] | None:
        """Return a sequence with its text in UTF-8 and undefined lengths, None if nothing changes."""
        start = header_start(self._data, element, encoding)
        in_un = encoding.explicit and self._data[start + 4 : start + 6] == b"UN"
        explicit_in_un = in_un and begins_explicit(self._data, element.offset, len(self._data), encoding)
        inner = IMPLICIT if in_un and not explicit_in_un else encoding
        inside = [self._item(item, old, inner) for item in items]
        if not any(changed for changed, _ in inside):
            return None
        pieces: list[Piece] = [_header(encoding, element.tag, "UN" if in_un else "SQ", UNDEFINED)]
        for _, written in inside:
            pieces += (_item(inner, ITEM, UNDEFINED), *written, _item(inner, ITEM_END))
        return [*pieces, _item(inner, SEQUENCE_END)]

    def _item(self, item: tuple[RawElement, ...], old: Charset, encoding: Encoding) -> tuple[bool, list[Piece]]:
        """Return whether an item changes, and its elements without group lengths."""
        changed = False
        pieces: list[Piece] = []
        for element in item:
            if element.tag == SPECIFIC_CHARACTER_SET and isinstance(element.value, bytes):
                old = charset(element.value)
                converted: list[Piece] | None = [written_element(encoding, element.tag, "CS", UTF_8)]
            else:
                converted = self._converted(element, old, encoding)
            changed = changed or converted is not None
            if converted is not None:
                pieces += converted
            elif element.tag & 0xFFFF:
                pieces.append(Span(header_start(self._data, element, encoding), element.offset + element.length))
        return changed, pieces

    def _require_ascii(self, element: RawElement) -> None:
        """Raise `InvalidInstance` unless a text that was not loaded is plain ASCII, which is the same in UTF-8."""
        for start in range(element.offset, element.offset + element.length, _CHUNK):
            chunk = bytes(self._data[start : min(start + _CHUNK, element.offset + element.length)])
            if not chunk.isascii() or _ESCAPE in chunk:
                raise InvalidInstance(f"The text of {tag_text(element.tag)} is too long to be converted to ISO_IR 192.")


def _patch(start: int, stop: int, tag: int, written: bytes) -> Patch:
    return Patch(start, stop, tag >> 16, (written,) if written else ())
