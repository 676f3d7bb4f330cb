"""Rewrites uncompressed instances as Explicit VR Little Endian (PS3.5 Annex A, conformance §4.3)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final

from app.dicom.encoding.elements import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, Buffer, Fragments, RawElement
from app.dicom.encoding.frames import FrameTable, pixel_word
from app.dicom.encoding.part10 import PREAMBLE_LENGTH, TRANSFER_SYNTAX_UID, Part10, inflated
from app.dicom.encoding.uids import EXPLICIT_LITTLE
from app.dicom.encoding.vr import BULK, LONG_FORM, WORD_SIZE
from app.errors import NotAcceptable

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


def to_explicit_little(data: Buffer, part10: Part10) -> Iterator[bytes]:
    """Return the whole file as Explicit VR Little Endian, in chunks of little more than 1 MiB at most.

    The preamble is zero and the file meta information has the new syntax. Group lengths of the dataset are left out.
    Sequences have undefined lengths. `data` is the bytes that `part10` was parsed from. Raises `NotAcceptable` before
    the first chunk if the pixel data is encapsulated.
    """
    pixels = part10.pixel_data
    if pixels is not None and (part10.transfer_syntax.encapsulated or pixels.fragments is not None):
        raise NotAcceptable(UNSUPPORTED)
    if part10.transfer_syntax.deflated:
        data = inflated(data, part10.dataset_offset)
    return _in_larger_chunks(_file_chunks(data, part10))


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
    yield bytes(PREAMBLE_LENGTH) + b"DICM" + _meta(data, part10)
    yield from _Writer(data, part10).dataset(part10.elements)


def _meta(data: Buffer, part10: Part10) -> bytes:
    """Return the file meta information with the new transfer syntax and the new group length."""
    group = b""
    values = {
        each.tag: (each.vr, bytes(data[each.offset : each.offset + each.length]))
        for each in part10.meta
        if each.tag != META_GROUP_LENGTH
    }
    values[TRANSFER_SYNTAX_UID] = ("UI", EXPLICIT_LITTLE.encode())
    for tag, (vr, value) in sorted(values.items()):
        group += _header(tag, vr, len(value) + len(value) % 2) + value + b"\0" * (len(value) % 2)
    return _header(META_GROUP_LENGTH, "UL", 4) + len(group).to_bytes(4, "little") + group


def _header(tag: int, vr: str, length: int) -> bytes:
    """Return a header in Explicit VR Little Endian. A value too long for the short form becomes UN (PS3.5 §6.2.2)."""
    code = vr.encode()
    if code not in LONG_FORM:
        if length <= 0xFFFF:
            return _SHORT(tag >> 16, tag & 0xFFFF, code, length)
        code = b"UN"
    return _LONG(tag >> 16, tag & 0xFFFF, code, 0, length)


def _item(tag: int, length: int = 0) -> bytes:
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
        yield _header(tag, "SQ", UNDEFINED)
        for item in items:
            yield _item(ITEM, UNDEFINED)
            yield from self.dataset(item)
            yield _item(ITEM_END)
        yield _item(SEQUENCE_END)

    def _fragments(self, element: RawElement, fragments: Fragments) -> Iterator[bytes]:
        """Yield encapsulated data below the top level, an icon for example. Its fragments are not changed."""
        yield _header(element.tag, element.vr, UNDEFINED)
        yield _item(ITEM, fragments.table_length)
        yield from self._bytes(fragments.table_offset, fragments.table_length, 4 if self._swaps else 1)
        for start, size in zip(fragments.starts, fragments.sizes, strict=True):
            yield _item(ITEM, size)
            yield from self._bytes(start, size, 1)
        yield _item(SEQUENCE_END)

    def _plain(self, element: RawElement) -> Iterator[bytes]:
        tag, vr, value, offset, length = element
        yield _header(tag, vr, length + length % 2)
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
