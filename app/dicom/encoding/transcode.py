"""Rewrites instances with the dataset in Explicit VR Little Endian (PS3.5 Annex A, conformance §4.3).

A whole file is rewritten if its pixels do not change. Otherwise the parts before and after the pixel data are rewritten
here, and the caller writes the pixel data between them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import takewhile
from struct import Struct
from typing import Final

from app.dicom.encoding.elements import (
    ENCODINGS,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    Buffer,
    Fragments,
    RawElement,
)
from app.dicom.encoding.frames import FrameTable, pixel_word
from app.dicom.encoding.part10 import PIXEL_TAGS, PREAMBLE_LENGTH, TRANSFER_SYNTAX_UID, Part10, inflated
from app.dicom.encoding.reader import ElementReader
from app.dicom.encoding.uids import EXPLICIT_LITTLE, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from app.dicom.encoding.vr import BULK, LONG_FORM, SHORT_FORM, WORD_SIZE, implicit_vr
from app.errors import InvalidInstance, NotAcceptable

UNSUPPORTED: Final = "The specified transcoding is not supported."
CHUNK: Final = 1 << 20
"""Bytes of bulk data in one chunk; a multiple of every word size."""

_SHORT: Final = Struct("<HH2sH").pack
_LONG: Final = Struct("<HH2sHL").pack
_ITEM: Final = Struct("<HHL").pack
_CODES: Final = {2: "H", 4: "I", 8: "Q"}
_SMALL: Final = 1 << 16
_NUL_PADDED: Final = BULK | {"UI"}
META_GROUP_LENGTH: Final = 0x00020000
_IMPLEMENTATION_CLASS_UID: Final = 0x00020012
_IMPLEMENTATION_VERSION_NAME: Final = 0x00020013

Changes = Mapping[int, tuple[str, bytes] | None]
"""New values of top-level attributes by tag: VR and bytes in little endian. None leaves the attribute out."""


def to_explicit_little(data: Buffer, part10: Part10) -> Iterator[bytes]:
    """Return the whole file as Explicit VR Little Endian, in chunks of little more than 1 MiB at most.

    The preamble is zero and the file meta information has the new syntax. Group lengths of the dataset are left out.
    Sequences have undefined lengths. `data` is the bytes that `part10` was parsed from. Raises `NotAcceptable` before
    the first chunk if the pixel data is encapsulated.
    """
    pixels = part10.pixel_data
    if pixels is not None and (part10.transfer_syntax.encapsulated or pixels.fragments is not None):
        raise NotAcceptable(f"{UNSUPPORTED} The instance has no frames that can be separated.")
    if part10.transfer_syntax.deflated:
        data = inflated(data, part10.dataset_offset)
    return _in_larger_chunks(_file_chunks(data, part10))


def before_pixel_data(data: Buffer, part10: Part10, syntax: str, changes: Changes) -> Iterator[bytes]:
    """Return the file up to its pixel data in chunks, with `changes`, in the transfer syntax `syntax`.

    `data` is the bytes that `part10` was parsed from, or the inflated ones. The elements from the pixel data on are
    left out.
    """
    yield bytes(PREAMBLE_LENGTH) + b"DICM" + _meta(data, part10, syntax)
    before = takewhile(lambda element: element.tag not in PIXEL_TAGS, part10.elements)
    yield from _Writer(data, part10).dataset(_changed(before, changes, part10.little))


def after_pixel_data(data: Buffer, part10: Part10) -> Iterator[bytes]:
    """Return the elements after the pixel data: padding and digital signatures, in chunks.

    `data` is the bytes after the pixel data. If `part10` has the pixel data, `data` is all the bytes that it was parsed
    from. Bytes that are no elements are left out.
    """
    if part10.pixel_data is None:
        reader = ElementReader(data, len(data))
        with suppress(InvalidInstance):  # some files have other bytes at their end
            reader.dataset(0, len(data), ENCODINGS[part10.explicit, part10.little])
        elements = tuple(reader.top)
    else:
        tags = [element.tag for element in part10.elements]
        elements = part10.elements[tags.index(part10.pixel_data.tag) + 1 :]
    yield from _Writer(data, part10).dataset(elements)


def native_element(data: bytes, part10: Part10) -> tuple[int, str, int]:
    """Return tag, VR and length of the native pixel data whose header ends where `data` ends.

    `part10` is the layout of the elements before.
    """
    encoding, start = ENCODINGS[part10.explicit, part10.little], part10.size
    group, number, _length = encoding.item.unpack_from(data, start)
    tag, code = group << 16 | number, data[start + 4 : start + 6]
    if part10.explicit and code in SHORT_FORM:
        return tag, SHORT_FORM[code], encoding.header.unpack_from(data, start)[3]
    (length,) = encoding.number.unpack_from(data, len(data) - 4)
    vr = LONG_FORM.get(code, "UN") if len(data) - start == 12 else "UN"
    return tag, implicit_vr(tag, length, signed=False) if vr == "UN" else vr, length


def native_frame(table: FrameTable, number: int, covering: bytes, *, little: bool) -> bytes:
    """Return frame `number` from the bytes in its ranges, in little endian or in the byte order of its file.

    A frame that begins or ends within a word is returned as if its file had no other frame.
    """
    frame = table.cut(number, swapped(covering, table.word))
    return frame if little else swapped(frame + bytes(-len(frame) % table.word), table.word)


def swapped(words: bytes, size: int) -> bytes:
    """Return `words` with the bytes of each word of `size` bytes reversed. An incomplete last word is not changed."""
    if size == 1:
        return words
    whole = len(words) - len(words) % size
    numbers = array(_CODES[size], words[:whole])
    numbers.byteswap()
    return numbers.tobytes() + words[whole:]


def swapped_chunks(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the bytes of the chunks, the bytes of each word of `size` bytes reversed. A chunk may end within a word."""
    rest = b""
    for chunk in chunks:
        words = rest + chunk if rest else chunk
        whole = len(words) - len(words) % size
        rest = words[whole:]
        yield swapped(words[:whole], size) if rest else swapped(words, size)
    if rest:
        yield rest


def _in_larger_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in fewer chunks: small chunks are joined up to 64 KiB."""
    small = bytearray()
    for piece in pieces:
        if len(small) + len(piece) >= _SMALL and small:
            yield bytes(small)
            small.clear()
        if len(piece) >= _SMALL:
            yield piece
        else:
            small += piece
    if small:
        yield bytes(small)


def _file_chunks(data: Buffer, part10: Part10) -> Iterator[bytes]:
    yield bytes(PREAMBLE_LENGTH) + b"DICM" + _meta(data, part10, EXPLICIT_LITTLE)
    yield from _Writer(data, part10).dataset(part10.elements)


def _changed(elements: Iterable[RawElement], changes: Changes, little: bool) -> Iterator[RawElement]:
    """Yield the elements with their new values. New attributes come before the first element with a greater tag."""
    new = [
        RawElement(tag, vr, value if little else swapped(value, WORD_SIZE.get(vr, 1)), -1, len(value))
        for tag, (vr, value) in sorted((tag, change) for tag, change in changes.items() if change is not None)
    ]
    for element in elements:
        while new and new[0].tag < element.tag:
            yield new.pop(0)
        if element.tag not in changes:
            yield element
    yield from new


def _meta(data: Buffer, part10: Part10, syntax: str) -> bytes:
    """Return the file meta information: new transfer syntax, this service as the writer, new group length."""
    group = b""
    values = {
        each.tag: (each.vr, bytes(data[each.offset : each.offset + each.length]))
        for each in part10.meta
        if each.tag != META_GROUP_LENGTH
    }
    values[TRANSFER_SYNTAX_UID] = ("UI", syntax.encode())
    values[_IMPLEMENTATION_CLASS_UID] = ("UI", IMPLEMENTATION_CLASS_UID.encode())
    values[_IMPLEMENTATION_VERSION_NAME] = ("SH", IMPLEMENTATION_VERSION_NAME.encode())
    for tag, (vr, value) in sorted(values.items()):
        group += element_header(tag, vr, len(value) + len(value) % 2) + value + b"\0" * (len(value) % 2)
    return element_header(META_GROUP_LENGTH, "UL", 4) + len(group).to_bytes(4, "little") + group


def element_header(tag: int, vr: str, length: int) -> bytes:
    """Return a header in Explicit VR Little Endian. A value too long for the short form becomes UN (PS3.5 §6.2.2)."""
    code = vr.encode()
    if code not in LONG_FORM:
        if length <= 0xFFFF:
            return _SHORT(tag >> 16, tag & 0xFFFF, code, length)
        code = b"UN"
    return _LONG(tag >> 16, tag & 0xFFFF, code, 0, length)


def item_header(tag: int, length: int = 0) -> bytes:
    """Return the header of an item or of a delimiter, in little endian (PS3.5 §7.5)."""
    return _ITEM(tag >> 16, tag & 0xFFFF, length)


class _Writer:
    """Writes the elements of one file in Explicit VR Little Endian."""

    __slots__ = ("_data", "_part10", "_pixel_word", "_swaps")

    def __init__(self, data: Buffer, part10: Part10) -> None:
        self._data = data
        self._part10 = part10
        self._swaps = not part10.little
        self._pixel_word = pixel_word(part10)

    def dataset(self, elements: Iterable[RawElement]) -> Iterator[bytes]:
        """Yield the bytes of the elements, without group lengths."""
        for element in elements:
            if not element.tag & 0xFFFF:
                continue
            if element.items is not None:
                yield from self._sequence(element.tag, element.items)
            elif isinstance(element.value, Fragments):
                yield from self._fragments(element, element.value)
            else:
                yield from self._plain(element)

    def _sequence(self, tag: int, items: Iterable[Iterable[RawElement]]) -> Iterator[bytes]:
        yield element_header(tag, "SQ", UNDEFINED)
        for item in items:
            yield item_header(ITEM, UNDEFINED)
            yield from self.dataset(item)
            yield item_header(ITEM_END)
        yield item_header(SEQUENCE_END)

    def _fragments(self, element: RawElement, fragments: Fragments) -> Iterator[bytes]:
        """Yield encapsulated data below the top level, an icon for example. Its fragments are not changed."""
        yield element_header(element.tag, element.vr, UNDEFINED)
        yield item_header(ITEM, fragments.table_length)
        yield from self._bytes(fragments.table_offset, fragments.table_length, 4 if self._swaps else 1)
        for start, size in zip(fragments.starts, fragments.sizes, strict=True):
            yield item_header(ITEM, size)
            yield from self._bytes(start, size, 1)
        yield item_header(SEQUENCE_END)

    def _plain(self, element: RawElement) -> Iterator[bytes]:
        tag, vr, value, offset, length = element
        yield element_header(tag, vr, length + length % 2)
        word = WORD_SIZE.get(vr, 1) if self._swaps else 1
        if self._swaps and self._part10.pixel_data and offset == self._part10.pixel_data.offset:
            word = self._pixel_word
        if isinstance(value, bytes):
            yield swapped(value, word)
        else:
            yield from self._bytes(offset, length, word)
        if length % 2:
            yield b"\0" if word > 1 or vr in _NUL_PADDED else b" "

    def _bytes(self, offset: int, length: int, word: int) -> Iterator[bytes]:
        """Yield bulk data in chunks, the bytes of each word reversed."""
        for start in range(offset, offset + length, CHUNK):
            yield swapped(bytes(self._data[start : min(start + CHUNK, offset + length)]), word)
