"""DICOM Part 10 files: preamble, file meta information and the layout of the dataset (PS3.10 §7)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from app.dicom.encoding import limits
from app.dicom.encoding.elements import ENCODINGS, Buffer, Fragments, RawElement
from app.dicom.encoding.headerless import likely_transfer_syntax
from app.dicom.encoding.reader import ElementReader
from app.dicom.encoding.uids import EXPLICIT_LITTLE, PADDING, TransferSyntax, transfer_syntax
from app.errors import InvalidInstance

PREAMBLE_LENGTH: Final = 128
META_OFFSET: Final = 132
INFLATE_LIMIT: Final = 104_857_600
"""The largest size of an inflated dataset, in bytes (conformance §1.8: the largest file that is parsed as a whole)."""

_INTEGER: Final = re.compile(rb"([+-]?[0-9]{1,12})(?:\.0*)?")
"""An integer string, also as `+2` and `2.0`, which some writers make of it."""
_NUMBER_SIZES: Final = {"US": 2, "SS": 2, "UL": 4, "SL": 4}
"""VR -> bytes of a number. The numbers that describe an image are positive, also where their VR has a sign."""
_DEFLATED_CHUNK: Final = 1024  # up to a thousand times as much when inflated
_EITHER_WRAPPER: Final = 32 + zlib.MAX_WBITS
_INFLATING: Final = Lock()
"""Only one thread inflates at a time, because a small upload may need `INFLATE_LIMIT` bytes of memory."""

TRANSFER_SYNTAX_UID: Final = 0x00020010
PIXEL_DATA: Final = 0x7FE00010
FLOAT_PIXEL_DATA: Final = 0x7FE00008
DOUBLE_FLOAT_PIXEL_DATA: Final = 0x7FE00009
PIXEL_TAGS: Final = (PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA)
"""The elements that hold the pixels of an image. An image has one of them."""
EXTENDED_OFFSET_TABLE: Final = 0x7FE00001
EXTENDED_OFFSET_TABLE_LENGTHS: Final = 0x7FE00002


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelData:
    """The place of the pixel data: `length` bytes at `offset` if it is native, `fragments` if it is encapsulated.

    `extended` has the places of the extended offset table and of its lengths, each as (offset, length) in bytes. Both
    hold 64-bit numbers (PS3.3 C.7.6.3.1.8).
    """

    tag: int
    vr: str
    offset: int
    length: int
    fragments: Fragments | None = None
    extended: tuple[tuple[int, int], tuple[int, int]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part10:
    """The layout of one instance without its bulk data. Only its large values refer to the bytes of the file.

    `meta` is group 0002, `elements` is the dataset in file order. Offsets count from the start of the file. Those of a
    deflated file count from the start of the file that `inflated` returns. `explicit` and `little` are the actual
    encoding of the dataset, which may differ from the transfer syntax. `oddities` are those of `ElementReader`.
    """

    transfer_syntax: TransferSyntax
    meta: tuple[RawElement, ...]
    elements: tuple[RawElement, ...]
    pixel_data: PixelData | None
    dataset_offset: int
    size: int
    explicit: bool
    little: bool
    by_tag: dict[int, RawElement] = field(repr=False, compare=False)
    oddities: dict[int, tuple[str, bool]] = field(default_factory=dict)

    def get(self, tag: int) -> RawElement | None:
        """Return the top-level element of a tag, the last one if the file repeats it."""
        return self.by_tag.get(tag)

    def raw(self, tag: int) -> bytes:
        """Return the bytes of a top-level value. Empty if it is absent, a sequence or not loaded."""
        element = self.by_tag.get(tag)
        return element.value if element is not None and isinstance(element.value, bytes) else b""

    def integer(self, tag: int, default: int = 0) -> int:
        """Return the first value of an element, `default` if it is absent or not a whole number."""
        element = self.by_tag.get(tag)
        if element is None or not isinstance(element.value, bytes):
            return default
        if element.vr in _NUMBER_SIZES:
            size = _NUMBER_SIZES[element.vr]
            first = element.value[:size]
            return int.from_bytes(first, "little" if self.little else "big") if len(first) == size else default
        text = _INTEGER.fullmatch(element.value.split(b"\\")[0].strip(b" \0"))
        return int(text[1]) if text else default


def parse(data: Buffer, *, inflate_limit: int = INFLATE_LIMIT) -> Part10:
    """Return the layout of a Part 10 file. Reads only its headers, so a mapped file of 2 GiB costs no memory.

    `data` must be the whole file. Raises `InvalidInstance` for bytes that are not a readable Part 10 file, for a file
    that is cut short anywhere, also in the pixel data, and for one beyond a limit of `reader`. The error has the
    elements that were read.
    """
    meta, offset, syntax = _meta(data)
    if syntax.deflated and likely_transfer_syntax(bytes(data[offset : offset + 8])) == EXPLICIT_LITTLE:
        syntax = syntax._replace(deflated=False)  # some writers name the syntax and do not deflate
    try:
        if not syntax.deflated:
            return _layout(data, meta, offset, syntax)
        with _INFLATING:
            return _layout(inflated(data, offset, limit=inflate_limit), meta, offset, syntax)
    except InvalidInstance as error:
        error.elements = (*meta, *error.elements)
        raise


def is_native(head: bytes) -> bool:
    """Tell whether a file with this start is neither encapsulated nor deflated. `parse` reads few of its pages then."""
    try:
        syntax = _meta(head)[2]
    except InvalidInstance:
        return False
    return not (syntax.encapsulated or syntax.deflated)


def _layout(data: Buffer, meta: tuple[RawElement, ...], offset: int, syntax: TransferSyntax) -> Part10:
    size = len(data)
    reader = ElementReader(data, size)
    encoding = reader.encoding(offset, size, ENCODINGS[syntax.explicit, syntax.little])
    try:
        elements = reader.dataset(offset, size, encoding)
    except InvalidInstance as error:
        error.elements = tuple(reader.top)
        raise
    by_tag = {element.tag: element for element in elements}
    return Part10(
        transfer_syntax=syntax,
        meta=meta,
        elements=elements,
        pixel_data=_pixel_data(by_tag),
        dataset_offset=offset,
        size=size,
        explicit=encoding.explicit,
        little=encoding.little,
        by_tag=by_tag,
        oddities=reader.oddities,
    )


def inflated(data: Buffer, dataset_offset: int, *, limit: int = INFLATE_LIMIT) -> bytearray:
    """Return a deflated file with an inflated dataset. The offsets of its `Part10` are offsets in these bytes.

    Raises `InvalidInstance` if the deflated stream is damaged, cut short or longer than `limit` bytes inflated.
    """
    size = sum(map(len, _inflating(data, dataset_offset, limit)))
    whole = bytearray(dataset_offset + size)  # one allocation: growing it would need up to twice the memory
    whole[:dataset_offset] = data[:dataset_offset]
    position = dataset_offset
    for piece in _inflating(data, dataset_offset, limit):
        whole[position : position + len(piece)] = piece
        position += len(piece)
    return whole


def inflated_range(data: Buffer, start: int, length: int) -> Iterator[bytes]:
    """Yield `length` bytes from the byte `start` of a deflated file, inflated as `inflated` does, in small chunks.

    `start` is in the dataset. Raises `InvalidInstance` as `inflated` does.
    """
    _meta_elements, position, _syntax = _meta(data)
    for piece in _inflating(data, position, INFLATE_LIMIT):
        chunk = piece[max(0, start - position) : max(0, start + length - position)]
        position += len(piece)
        if chunk:
            yield chunk
        if position >= start + length:
            return


def _inflating(data: Buffer, start: int, limit: int) -> Iterator[bytes]:
    """Yield the inflated bytes of a dataset in chunks of at most about 1 MiB."""
    stream = zlib.decompressobj(_window_bits(bytes(data[start : start + _DEFLATED_CHUNK])))
    size = 0
    try:
        for position in range(start, len(data), _DEFLATED_CHUNK):
            piece = stream.decompress(bytes(data[position : position + _DEFLATED_CHUNK]))
            size += len(piece)
            if size > limit:
                raise InvalidInstance(
                    f"The DICOM instance is invalid: its dataset inflates to more than {limit} bytes."
                )
            yield piece
            if stream.eof:
                return
    except zlib.error as error:
        raise InvalidInstance("The DICOM instance is invalid: its dataset cannot be inflated.") from error
    raise InvalidInstance("The DICOM instance is invalid: its deflated dataset is cut short.")


def _window_bits(begin: bytes) -> int:
    """Return the parameter of zlib for a deflated stream. Some writers wrap it (zlib, RFC 1950, or gzip, RFC 1952)."""
    try:
        zlib.decompressobj(-zlib.MAX_WBITS).decompress(begin, _DEFLATED_CHUNK)
    except zlib.error:
        return _EITHER_WRAPPER
    return -zlib.MAX_WBITS


def _meta(data: Buffer) -> tuple[tuple[RawElement, ...], int, TransferSyntax]:
    """Return group 0002, the offset of the dataset, and the transfer syntax. Does not trust the group length."""
    if len(data) < META_OFFSET or bytes(data[PREAMBLE_LENGTH:META_OFFSET]) != b"DICM":
        raise InvalidInstance("The DICOM instance is invalid: it is not a DICOM Part 10 file.")
    end = min(len(data), META_OFFSET + limits.MAX_META)
    meta, offset = ElementReader(data, len(data)).group(META_OFFSET, end, 0x0002)
    for element in meta:
        if element.tag == TRANSFER_SYNTAX_UID and isinstance(element.value, bytes):
            uid = element.value.decode("latin-1").strip(PADDING)
            if uid:
                return meta, offset, transfer_syntax(uid)
    likely = likely_transfer_syntax(bytes(data[offset : offset + 8]))
    if likely is not None:
        return meta, offset, transfer_syntax(likely)
    raise InvalidInstance("The DICOM instance is invalid: its file meta information names no transfer syntax.")


def _pixel_data(by_tag: dict[int, RawElement]) -> PixelData | None:
    for tag in PIXEL_TAGS:
        element = by_tag.get(tag)
        if element is not None:
            break
    else:
        return None
    if not isinstance(element.value, Fragments):
        return PixelData(tag=element.tag, vr=element.vr, offset=element.offset, length=element.length)
    offsets, lengths = by_tag.get(EXTENDED_OFFSET_TABLE), by_tag.get(EXTENDED_OFFSET_TABLE_LENGTHS)
    extended = None
    if offsets is not None and lengths is not None:
        extended = ((offsets.offset, offsets.length), (lengths.offset, lengths.length))
    return PixelData(
        tag=element.tag,
        vr=element.vr,
        offset=element.offset,
        length=element.length,
        fragments=element.value,
        extended=extended,
    )
