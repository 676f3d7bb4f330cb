"""An MP4 file around a raw H.264 stream (ISO/IEC 14496-12, 14496-15). No picture is decoded.

The file is a head, which is in memory, and the NAL units of the stream, each after its length instead of a start code.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Final

from app.imaging.documents.video.samples import StreamSamples

TIMESCALE: Final = 90_000
"""Units of time in one second."""

_MATRIX: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_LENGTH: Final = 4
"""Bytes of the length before each NAL unit."""
_PIECE: Final = 1 << 20
_LARGEST_NUMBER: Final = 0xFFFFFFFF
_MEDIA_HEADER: Final = 16
"""Bytes of the header of the box with the samples."""

ReadStream = Callable[[int, int], Iterator[bytes]]
"""Takes the first byte and the number of bytes, and returns the bytes of the stream in chunks."""


class Mp4File:
    """The MP4 file of a stream. `duration` is that of one frame in units of `TIMESCALE`."""

    def __init__(self, samples: StreamSamples, duration: int) -> None:
        self._offsets = samples.offsets
        self._sizes = samples.sizes
        # The place of each unit after the head, and at last the place of the end.
        self._places = array("Q", accumulate((size + _LENGTH for size in samples.sizes), initial=0))
        media = self._places[-1]
        head = _head(samples, duration)
        place = struct.pack(">Q", len(head) + _MEDIA_HEADER)
        self._head = head.replace(_CHUNK_OFFSET, _CHUNK_OFFSET[:-8] + place, 1)
        self._head += struct.pack(">I4sQ", 1, b"mdat", media + _MEDIA_HEADER)
        self.size = len(self._head) + media
        """The bytes of the file."""
        self.memory = len(self._head) + 20 * len(samples.offsets)
        """About the bytes of memory that this object needs."""

    def read(self, read_stream: ReadStream, start: int, length: int) -> Iterator[bytes]:
        """Yield `length` bytes from the byte `start` of the file, in chunks."""
        stop = min(start + length, self.size)
        if start < len(self._head):
            yield self._head[start:stop]
        place, end = max(0, start - len(self._head)), stop - len(self._head)
        while place < end:
            first = bisect_right(self._places, place) - 1
            last = self._last_of_piece(first, end)
            piece = self._piece(read_stream, first, last)
            begin = self._places[first]
            taken = piece[place - begin : end - begin]
            yield taken
            place += len(taken)

    def _last_of_piece(self, first: int, end: int) -> int:
        """Return the unit after the last one that is read together with the unit `first`."""
        limit = self._offsets[first] + _PIECE
        last = first + 1
        while last < len(self._offsets) and self._offsets[last] < limit and self._places[last] < end:
            last += 1
        return last

    def _piece(self, read_stream: ReadStream, first: int, last: int) -> bytes:
        begin = self._offsets[first]
        stream = b"".join(read_stream(begin, self._offsets[last - 1] + self._sizes[last - 1] - begin))
        pieces = []
        for unit in range(first, last):
            offset = self._offsets[unit] - begin
            pieces += [struct.pack(">I", self._sizes[unit]), stream[offset : offset + self._sizes[unit]]]
        return b"".join(pieces)


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def _full_box(kind: bytes, *content: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *content)


_CHUNK_OFFSET: Final = _full_box(b"co64", struct.pack(">IQ", 1, 0))
"""The box that says where the samples begin. The place is known when the head is complete."""


def _head(samples: StreamSamples, duration: int) -> bytes:
    """Return the boxes before the samples."""
    delays, begin = _delays(samples)
    duration = min(duration, _LARGEST_NUMBER // (max(delays) + 1))
    total = len(samples.unit_counts) * duration
    size = struct.pack(">II", samples.parameters.width << 16, samples.parameters.height << 16)
    header = struct.pack(">QQIQ", 0, 0, TIMESCALE, total)
    movie = _full_box(
        b"mvhd", header, struct.pack(">IH10x", 0x10000, 0x100), _MATRIX, bytes(24), struct.pack(">I", 2), version=1
    )
    track = _full_box(b"tkhd", struct.pack(">QQIIQ16x", 0, 0, 1, 0, total), _MATRIX, size, version=1, flags=7)
    edit = _box(b"edts", _full_box(b"elst", struct.pack(">IQqI", 1, total, begin * duration, 0x10000), version=1))
    media_header = _full_box(b"mdhd", header, struct.pack(">HH", 0x55C4, 0), version=1)
    handler = _full_box(b"hdlr", struct.pack(">I4s12x", 0, b"vide"), b"Video\0")
    source = _box(b"dinf", _full_box(b"dref", struct.pack(">I", 1), _full_box(b"url ", flags=1)))
    table = _sample_table(samples, duration, delays)
    information = _box(b"minf", _full_box(b"vmhd", bytes(8), flags=1), source, table)
    whole_track = _box(b"trak", track, edit, _box(b"mdia", media_header, handler, information))
    return _box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41") + _box(b"moov", movie, whole_track)


def _sample_table(samples: StreamSamples, duration: int, delays: array[int]) -> bytes:
    count = len(samples.unit_counts)
    boxes = [
        _full_box(b"stsd", struct.pack(">I", 1), _sample_entry(samples)),
        _full_box(b"stts", struct.pack(">III", 1, count, duration)),
        _full_box(b"stsc", struct.pack(">IIII", 1, 1, count, 1)),
        _CHUNK_OFFSET,
        _full_box(b"stsz", struct.pack(">II", 0, count), _big_endian(samples.sample_sizes)),
        _full_box(b"stss", struct.pack(">I", len(samples.sync) or 1), _big_endian(samples.sync or array("I", [1]))),
    ]
    if any(delays):
        entries = array("I", (number for delay in delays for number in (1, delay * duration)))
        boxes.append(_full_box(b"ctts", struct.pack(">I", count), _big_endian(entries)))
    return _box(b"stbl", *boxes)


def _sample_entry(samples: StreamSamples) -> bytes:
    """Return the entry avc3: the stream has its parameter sets too, where they are (ISO/IEC 14496-15 §5.4.2.1)."""
    first = samples.parameter_sets[0]
    sets, picture_sets = (
        b"".join(struct.pack(">H", len(each)) + each for each in group)
        for group in (samples.parameter_sets, samples.picture_parameter_sets)
    )
    configuration = _box(
        b"avcC",
        bytes([1]) + first[1:4] + bytes([0xFF, 0xE0 | len(samples.parameter_sets)]),
        sets,
        bytes([len(samples.picture_parameter_sets)]),
        picture_sets,
    )
    return _box(
        b"avc3",
        struct.pack(">6xH16xHH", 1, samples.parameters.width, samples.parameters.height),
        struct.pack(">III H", 0x480000, 0x480000, 0, 1),
        bytes(32),
        struct.pack(">Hh", 24, -1),
        configuration,
    )


def _delays(samples: StreamSamples) -> tuple[array[int], int]:
    """Return how many frames after its decoding each picture is shown, and when the first one is shown."""
    count = len(samples.orders)
    shown = array("q", bytes(8 * count))
    first = 0
    while first < count:
        last = bisect_right(samples.sequences, samples.sequences[first], first)
        for place, sample in enumerate(sorted(range(first, last), key=samples.orders.__getitem__), first):
            shown[sample] = place
        first = last
    begin = max((sample - place for sample, place in enumerate(shown)), default=0)
    return array("q", (place - sample + begin for sample, place in enumerate(shown))), begin


def _big_endian(numbers: array[int]) -> bytes:
    """Return numbers of 32 bits, the most significant byte first."""
    swapped = array("I", numbers)
    if sys.byteorder == "little":
        swapped.byteswap()
    return swapped.tobytes()
