"""The place of each frame in its file, so that a frame is a ranged read (PS3.5 §8.2, §A.4, conformance §4.6)."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Final

import zstandard

from app.dicom.encoding.elements import Buffer, Fragments
from app.dicom.encoding.encapsulated import STARTS_OF_IMAGE
from app.dicom.encoding.part10 import Part10, PixelData
from app.dicom.encoding.uids import ENCAPSULATED_UNCOMPRESSED, RLE_LOSSLESS, VIDEO
from app.dicom.encoding.vr import WORD_SIZE
from app.errors import NotFound

NUMBER_OF_FRAMES: Final = 0x00280008
SAMPLES_PER_PIXEL: Final = 0x00280002
PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
ROWS: Final = 0x00280010
COLUMNS: Final = 0x00280011
BITS_ALLOCATED: Final = 0x00280100

HALVED_COLOUR: Final = frozenset({b"YBR_FULL_422", b"YBR_PARTIAL_422"})
"""Photometric interpretations with two luminance samples for each colour sample (PS3.3 C.7.6.3.1.2)."""

ONE_FRAGMENT: Final = frozenset({RLE_LOSSLESS, ENCAPSULATED_UNCOMPRESSED})
"""Transfer syntaxes in which each frame is one fragment (PS3.5 §A.4.2, §A.4.11)."""

ITEM_HEADER: Final = 8
_HEADER: Final = struct.Struct("<BQQQBBII")
_VERSION: Final = 1


def _none() -> array[int]:
    return array("I")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTable:
    """The places of the frames of one instance. There are 0 frames if it has no image, or if nothing separates them.

    Native frames lie side by side from the byte `start` on, with `frame_bits` each. Encapsulated frames consist of
    fragments: `sizes` has the bytes of each fragment from `start` on, with an item header before each, and `counts` has
    the fragments of each frame. `word` is the bytes of a word in a big endian file, else 1. The offsets of a `deflated`
    file are those of the inflated file.
    """

    frames: int = 0
    start: int = 0
    frame_bits: int = 0
    word: int = 1
    deflated: bool = False
    sizes: array[int] = field(default_factory=_none)
    counts: array[int] = field(default_factory=_none)

    def ranges(self, number: int) -> list[tuple[int, int]]:
        """Return (offset, length) of each byte range of frame `number`, from 1. Raises `NotFound` beyond the last.

        The ranges cover whole words. A frame of packed bits may begin and end within a word; `cut` extracts it.
        """
        if not 1 <= number <= self.frames:
            raise NotFound("frame")
        if self.frame_bits:
            word_bits = 8 * self.word
            first, end = (number - 1) * self.frame_bits // word_bits, -(-number * self.frame_bits // word_bits)
            return [(self.start + first * self.word, (end - first) * self.word)]
        skipped = sum(self.counts[: number - 1])
        offset = self.start + sum(self.sizes[:skipped]) + ITEM_HEADER * skipped
        ranges = []
        for size in self.sizes[skipped : skipped + self.counts[number - 1]]:
            ranges.append((offset, size))
            offset += size + ITEM_HEADER
        return ranges

    def all_ranges(self) -> Iterator[list[tuple[int, int]]]:
        """Yield the ranges of every encapsulated frame, in their order. `ranges` takes longer for each later frame."""
        offset, sizes = self.start, iter(self.sizes)
        for count in self.counts:
            ranges = []
            for size in islice(sizes, count):
                ranges.append((offset, size))
                offset += size + ITEM_HEADER
            yield ranges

    @property
    def whole_words(self) -> bool:
        """Whether the bytes of its ranges are exactly the frame, for each frame."""
        return self.frame_bits % (8 * self.word) == 0

    def cut(self, number: int, covering: bytes) -> bytes:
        """Return frame `number` from the words in its ranges, which are in little endian.

        Packed bits start with the least significant bit (PS3.5 §8.1.1).
        """
        if self.whole_words:
            return covering
        shift = (number - 1) * self.frame_bits % (8 * self.word)
        bits = (int.from_bytes(covering, "little") >> shift) & ((1 << self.frame_bits) - 1)
        return bits.to_bytes((self.frame_bits + 7) // 8, "little")

    def pack(self) -> bytes:
        """Return the table as compressed bytes, about two for each encapsulated frame."""
        header = _HEADER.pack(
            _VERSION,
            self.frames,
            self.start,
            self.frame_bits,
            self.word,
            self.deflated,
            len(self.sizes),
            len(self.counts),
        )
        return zstandard.compress(header + self.sizes.tobytes() + self.counts.tobytes())

    @classmethod
    def unpack(cls, packed: bytes) -> FrameTable:
        """Return the table that `pack` wrote. Raises `ValueError` for an unknown version."""
        data = zstandard.decompress(packed)
        version, frames, start, frame_bits, word, deflated, sizes, counts = _HEADER.unpack_from(data)
        if version != _VERSION:
            raise ValueError(f"unknown version of a frame table: {version}")
        numbers = array("I", data[_HEADER.size :])
        return cls(
            frames=frames,
            start=start,
            frame_bits=frame_bits,
            word=word,
            deflated=bool(deflated),
            sizes=numbers[:sizes],
            counts=numbers[sizes : sizes + counts],
        )


def frame_table(data: Buffer, part10: Part10) -> FrameTable:
    """Return the places of the frames of an instance. `data` is the bytes that `part10` was parsed from.

    Never fails. A frame that is not completely in the pixel data is not counted. If Number of Frames disagrees with the
    pixel data, the frames that exist count (conformance §4.6).
    """
    pixels = part10.pixel_data
    if pixels is None:
        return FrameTable()
    claimed = max(1, part10.integer(NUMBER_OF_FRAMES, 1))
    if pixels.fragments is not None:
        if part10.transfer_syntax.deflated:
            return FrameTable()  # PS3.5 §A.5 permits no fragments there, and their offsets are not offsets in `data`
        counts = _counts(data, pixels, pixels.fragments, claimed, part10.transfer_syntax.uid)
        if not counts:
            return FrameTable()
        fragments = pixels.fragments
        return FrameTable(frames=len(counts), start=fragments.starts[0], sizes=fragments.sizes, counts=counts)
    bits = _frame_bits(part10, pixels.length, claimed)
    frames = _native_frames(part10, pixels.length * 8, bits, claimed) if bits else 0
    if not frames:
        return FrameTable()
    return FrameTable(
        frames=frames,
        start=pixels.offset,
        frame_bits=bits,
        word=pixel_word(part10),
        deflated=part10.transfer_syntax.deflated,
    )


def is_frame_number_right(table: FrameTable, part10: Part10) -> bool:
    """Return whether Number of Frames agrees with the table. If not, release 0.1.0 stored no table of fragments."""
    return table.frames == max(1, part10.integer(NUMBER_OF_FRAMES, 1))


def pixel_word(part10: Part10) -> int:
    """Return the bytes of a word of the pixel data: the unit that a change of byte order reverses. 1 for little endian.

    OW pixels of 32 or 64 bits are one word each. Two pixels of 8 bits share a word (PS3.5 §8.1.1).
    """
    pixels = part10.pixel_data
    if pixels is None or part10.little:
        return 1
    word = WORD_SIZE.get(pixels.vr, 1)
    bits = part10.integer(BITS_ALLOCATED)
    return bits // 8 if pixels.vr == "OW" and bits in (32, 64) else word


def _native_frames(part10: Part10, there: int, bits: int, claimed: int) -> int:
    """Return the number of native frames of `bits` each in pixel data of `there` bits.

    There are more than `claimed` if the pixel data has exactly the length of more, apart from a byte of padding.
    """
    complete = there // bits
    if complete <= claimed or _is_halved(part10):
        return min(complete, claimed)
    return complete if there - complete * bits < 16 else claimed


def _is_halved(part10: Part10) -> bool:
    return part10.raw(PHOTOMETRIC_INTERPRETATION).rstrip(b" \0") in HALVED_COLOUR


def _frame_bits(part10: Part10, length: int, claimed: int) -> int:
    """Return the bits of one native frame. YBR_FULL_422 stores two samples of three (PS3.3 C.7.6.3.1.2).

    It stores all three if the pixel data is long enough: JPEG decoders write them without changing the interpretation.
    """
    samples = part10.integer(SAMPLES_PER_PIXEL, 1)
    bits = part10.integer(ROWS) * part10.integer(COLUMNS) * samples * part10.integer(BITS_ALLOCATED)
    return bits // 3 * 2 if samples == 3 and _is_halved(part10) and length * 8 < bits * claimed else bits


def _counts(data: Buffer, pixels: PixelData, fragments: Fragments, claimed: int, syntax: str) -> array[int]:
    """Return the fragments of each frame; empty if nothing separates the frames.

    The first source that agrees with the number of frames counts, else the first source that finds any frame: offset
    tables, the number of fragments, fragments that begin an image. The stream of a video counts as one frame.
    """
    total = len(fragments.starts)
    if not total:
        return _none()
    if syntax in ONE_FRAGMENT or claimed == total:
        return array("I", [1]) * total
    tables = []
    for offset, length, code in _offset_tables(pixels, fragments):
        number, rest = divmod(length, struct.calcsize(code))
        if number and not rest and number <= total:
            counts = _by_offsets(fragments, struct.unpack_from(f"<{number}{code}", data, offset))
            if len(counts) == claimed:
                return counts
            tables.append(counts)
    firsts = [
        index
        for index, start in enumerate(fragments.starts)
        if bytes(data[start : start + ITEM_HEADER]).startswith(STARTS_OF_IMAGE)
    ]
    begins = bool(firsts) and firsts[0] == 0
    if begins and len(firsts) in (claimed, total):
        return _between(firsts, total)
    if claimed == 1:
        return array("I", [total])
    by_table = next((counts for counts in tables if len(counts) > 1), None)
    if by_table is not None:
        return by_table
    if begins:
        return _between(firsts, total)
    return array("I", [total]) if syntax in VIDEO else _none()


def _offset_tables(pixels: PixelData, fragments: Fragments) -> list[tuple[int, int, str]]:
    """Return offset, length in bytes and number code of each offset table, the extended one first."""
    basic = (fragments.table_offset, fragments.table_length, "I")
    return [basic] if pixels.extended is None else [(*pixels.extended[0], "Q"), basic]


def _by_offsets(fragments: Fragments, offsets: Sequence[int]) -> array[int]:
    """Return the fragments of each frame from the offsets of their first items. Empty if an offset is wrong."""
    index_of = {start - fragments.starts[0]: index for index, start in enumerate(fragments.starts)}
    firsts = [index_of.get(offset, -1) for offset in offsets]
    ascending = all(first < second for first, second in pairwise(firsts))
    return _between(firsts, len(fragments.starts)) if ascending and firsts[0] == 0 else _none()


def _between(firsts: list[int], total: int) -> array[int]:
    """Return the difference of each number to the next, of the last to `total`."""
    return array("I", (second - first for first, second in zip(firsts, [*firsts[1:], total], strict=True)))
