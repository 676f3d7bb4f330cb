"""Gives top-level attributes of a Part 10 file new values. All other bytes stay the same (conformance §12.6).

The new file consists of pieces: new bytes, and spans of the old file. Spans are streamed from the old file, so pixel
data is neither decoded nor loaded. Only a deflated file is read as a whole: it is inflated and deflated again.

If the character set of the instance lacks a character of a new value, all text of the file is converted to ISO_IR 192
(UTF-8), at every depth. Values that the file does not declare as text (UN, private elements of implicit VR) keep their
bytes.
"""

from __future__ import annotations

import io
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO, Final, NamedTuple, cast

from app.dicom.editing.patches import (
    UTF_8,
    Patch,
    PatchFinder,
    Piece,
    Span,
    header_start,
    size_of,
    written_element,
)
from app.dicom.encoding.charsets import SPECIFIC_CHARACTER_SET, charset, encode
from app.dicom.encoding.elements import ENCODINGS, Buffer
from app.dicom.encoding.part10 import META_OFFSET, Part10, inflated
from app.dicom.encoding.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_GROUP_LENGTH: Final = 0x00020000
_WRITER: Final[Mapping[int, tuple[str, bytes]]] = {
    0x00020012: ("UI", IMPLEMENTATION_CLASS_UID.encode()),
    0x00020013: ("SH", IMPLEMENTATION_VERSION_NAME.encode()),
}
_CHUNK: Final = 1 << 20


class NewValue(NamedTuple):
    """The new value of an attribute: its VR, and its text as a file has it, with a backslash between values."""

    vr: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrittenFile:
    """The new file: `head` is everything before the dataset, `pieces` is the dataset.

    `shift` is the offset of the pixel data in the new file minus that in the old file, both inflated. `converted` means
    that the text was converted to ISO_IR 192. `deflated_from` is the offset of the old deflated dataset, None if it is
    not deflated.
    """

    head: bytes
    pieces: tuple[Piece, ...]
    shift: int
    converted: bool
    deflated_from: int | None

    def stream(self, data: Buffer) -> BinaryIO:
        """Return a stream of the new file that can be read once. `data` is the old file, which must stay open."""
        if self.deflated_from is None:
            dataset = _chunks(data, self.pieces)
        else:
            dataset = _deflated(_chunks(inflated(data, self.deflated_from), self.pieces))
        return cast(BinaryIO, _ChunkStream(chain((self.head,), dataset)))

    def new_offsets(self) -> Callable[[int], int]:
        """Return a function from the offset of a byte in the old file to its offset in the new one, both inflated.

        The byte must lie in a span that the new file keeps, as all binary values do.
        """
        starts, shifts, position = [0], [0], len(self.head)
        for piece in self.pieces:
            if isinstance(piece, Span):
                starts.append(piece.start)
                shifts.append(position - piece.start)
            position += size_of(piece)
        return lambda offset: offset + shifts[bisect_right(starts, offset) - 1]


def rewrite_file(data: Buffer, part10: Part10, values: Mapping[int, NewValue]) -> RewrittenFile:
    """Give the attributes, by tag, their new values. The file meta information names this service as the writer.

    `data` is the bytes that `part10` was parsed from. Raises `InvalidInstance` for text that is too long to convert.
    """
    declared = part10.raw(SPECIFIC_CHARACTER_SET)
    encoded = {tag: encode(new.text, declared, new.vr) for tag, new in values.items()}
    written = {tag: (values[tag].vr, raw) for tag, raw in encoded.items() if raw is not None}
    converting = len(written) < len(values)
    if converting:
        written = {tag: (new.vr, new.text.encode()) for tag, new in values.items()}
        written[SPECIFIC_CHARACTER_SET] = ("CS", UTF_8)
    begin, deflated = part10.dataset_offset, part10.transfer_syntax.deflated
    source = inflated(data, begin) if deflated else data
    patches = PatchFinder(source, part10).patches(written, charset(declared) if converting else None)
    head = bytes(data[:META_OFFSET]) + _meta(data, part10)
    shift = 0
    if part10.pixel_data:
        shift = len(head) - begin + sum(each.growth for each in patches if each.start < part10.pixel_data.offset)
    pieces = tuple(_joined(_dataset_pieces(patches, begin, len(source))))
    return RewrittenFile(
        head=head, pieces=pieces, shift=shift, converted=converting, deflated_from=begin if deflated else None
    )


def _meta(data: Buffer, part10: Part10) -> bytes:
    """Return the file meta information with this service as the writer and the new group length.

    It is in little endian, as PS3.10 §7.1 wants. The group of the old file is in big endian if its first tag is.
    """
    encoding = ENCODINGS[True, True]
    little = bytes(data[META_OFFSET : META_OFFSET + 2]) == b"\2\0"
    kept = [
        (
            each.tag,
            bytes(data[header_start(data, each, encoding) : each.offset + each.length])
            if little
            else written_element(encoding, each.tag, each.vr, bytes(data[each.offset : each.offset + each.length])),
        )
        for each in part10.meta
        if each.tag not in _WRITER and each.tag != _GROUP_LENGTH
    ]
    written_by_us = [(tag, written_element(encoding, tag, vr, value)) for tag, (vr, value) in _WRITER.items()]
    group = b"".join(written for _, written in sorted(kept + written_by_us, key=lambda each: each[0]))
    return written_element(encoding, _GROUP_LENGTH, "UL", len(group).to_bytes(4, "little")) + group


def _dataset_pieces(patches: Iterable[Patch], position: int, end: int) -> Iterator[Piece]:
    """Yield the pieces of the whole dataset, which is from `position` to `end` in the old file."""
    for patch in patches:
        yield Span(position, patch.start)
        yield from patch.pieces
        position = patch.stop
    yield Span(position, end)


def _joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield the same pieces without empty ones. Adjacent bytes are joined."""
    waiting = bytearray()
    for piece in pieces:
        if isinstance(piece, bytes):
            waiting += piece
        elif size_of(piece):
            if waiting:
                yield bytes(waiting)
                waiting.clear()
            yield piece
    if waiting:
        yield bytes(waiting)


def _chunks(data: Buffer, pieces: Iterable[Piece]) -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        else:
            for start in range(piece.start, piece.stop, _CHUNK):
                yield bytes(data[start : min(start + _CHUNK, piece.stop)])


def _deflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks deflated. The total is an even number of bytes (PS3.5 §A.5)."""
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    size = 0
    for chunk in chunks:
        packed = deflate.compress(chunk)
        size += len(packed)
        yield packed
    last = deflate.flush()
    yield last + b"\0" * ((size + len(last)) % 2)


class _ChunkStream(io.RawIOBase):
    """A readable file that is made of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(_CHUNK), b""))
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = chunk
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken
