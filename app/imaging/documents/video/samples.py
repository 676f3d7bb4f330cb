"""The pictures of a raw H.264 stream, in the order of decoding and of display (ITU-T H.264 §7.4.1.2, §8.2.1)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from app.errors import ImageFailure
from app.imaging.documents.video.h264 import (
    ACCESS_UNIT_DELIMITER,
    FIRST_OF_ACCESS_UNIT,
    IDR_SLICE,
    PPS,
    SLICE,
    SPS,
    SequenceParameters,
    SliceHeader,
)
from app.imaging.documents.video.nal_units import BEGIN, nal_units

MAX_UNITS: Final = 1_000_000
"""The largest number of NAL units of a stream. It bounds memory."""
_MAX_PARAMETER_SETS: Final = 31


@dataclass(slots=True)
class StreamSamples:
    """The samples of a stream. A sample is one picture: some NAL units, each with its offset and size in the stream.

    `unit_counts` has the number of units of each sample. `orders` has its place in the display of its sequence, and
    `sequences` the number of the sequence. `sync` has the samples, from 1, at which decoding can begin.
    """

    parameters: SequenceParameters
    parameter_sets: list[bytes]
    picture_parameter_sets: list[bytes]
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    sizes: array[int] = field(default_factory=lambda: array("I"))
    unit_counts: array[int] = field(default_factory=lambda: array("I"))
    sample_sizes: array[int] = field(default_factory=lambda: array("I"))
    orders: array[int] = field(default_factory=lambda: array("q"))
    sequences: array[int] = field(default_factory=lambda: array("I"))
    sync: array[int] = field(default_factory=lambda: array("I"))


class _Collector:
    """Sorts the NAL units of one stream into samples."""

    def __init__(self) -> None:
        self.found: StreamSamples | None = None
        self._sets: dict[int, list[bytes]] = {SPS: [], PPS: []}
        self._waiting: list[tuple[int, int]] = []
        self._previous: SliceHeader | None = None
        self._is_new = True
        self._order_base = 0
        self._order_before = 0
        self._sequence = 0

    def add(self, offset: int, length: int, begin: bytes) -> None:
        kind = begin[0] & 0x1F
        if kind in (SPS, PPS):
            self._add_set(kind, begin, length)
        if kind in FIRST_OF_ACCESS_UNIT:
            self._is_new = True
        if kind == ACCESS_UNIT_DELIMITER:
            return
        self._waiting.append((offset, length))
        if len(self._waiting) > MAX_UNITS:
            raise ImageFailure("The H.264 stream has too many units without a picture.")
        if kind in (SLICE, IDR_SLICE) and self.found is not None:
            self._add_slice(self.found, SliceHeader.of(begin, self.found.parameters))
        elif 1 <= kind <= IDR_SLICE and self.found is not None and self.found.unit_counts:
            self._take_waiting(self.found)  # a partition of a slice

    def _add_set(self, kind: int, begin: bytes, length: int) -> None:
        known = self._sets[kind]
        if length >= BEGIN:
            raise ImageFailure("The H.264 stream has a parameter set that is too long.")
        if begin not in known and len(known) < _MAX_PARAMETER_SETS:
            known.append(begin)
        if kind == SPS and self.found is None:
            parameters = SequenceParameters.of(begin)
            self.found = StreamSamples(parameters, self._sets[SPS], self._sets[PPS])

    def _add_slice(self, found: StreamSamples, header: SliceHeader) -> None:
        if (self._is_new or header.first_block == 0 or not found.unit_counts) and not self._is_second_field(header):
            self._begin_sample(found, header)
        self._is_new = False
        self._take_waiting(found)
        self._previous = header

    def _is_second_field(self, header: SliceHeader) -> bool:
        before = self._previous
        return (
            before is not None
            and bool(header.field)
            and bool(before.field)
            and before.field != header.field
            and before.frame_number == header.frame_number
        )

    def _begin_sample(self, found: StreamSamples, header: SliceHeader) -> None:
        found.unit_counts.append(0)
        found.sample_sizes.append(0)
        if header.is_idr:
            found.sync.append(len(found.unit_counts))
            self._sequence += 1
            self._order_base = self._order_before = 0
        found.sequences.append(self._sequence)
        found.orders.append(self._order(found, header))

    def _order(self, found: StreamSamples, header: SliceHeader) -> int:
        """Return the place of a picture in the display (§8.2.1.1). Other types than 0 keep the order of decoding."""
        parameters = found.parameters
        if parameters.order_type != 0:
            return len(found.orders)
        cycle = 1 << parameters.order_bits
        base = self._order_base
        if header.order < self._order_before and self._order_before - header.order >= cycle // 2:
            base += cycle
        elif header.order > self._order_before and header.order - self._order_before > cycle // 2:
            base -= cycle
        if header.is_reference:
            self._order_base, self._order_before = base, header.order
        return base + header.order

    def _take_waiting(self, found: StreamSamples) -> None:
        for offset, length in self._waiting:
            found.offsets.append(offset)
            found.sizes.append(length)
            found.unit_counts[-1] += 1
            found.sample_sizes[-1] += length + 4
        self._waiting.clear()
        if len(found.offsets) > MAX_UNITS:
            raise ImageFailure(f"The H.264 stream has more than {MAX_UNITS} units.")


def stream_samples(chunks: Iterable[bytes]) -> StreamSamples:
    """Return the samples of a stream that comes in chunks. Raises `ImageFailure` if it has none, or too many units."""
    collector = _Collector()
    for unit in nal_units(chunks):
        collector.add(*unit)
    found = collector.found
    if found is None or not found.picture_parameter_sets:
        raise ImageFailure("The H.264 stream has no parameter sets.")
    if not found.unit_counts:
        raise ImageFailure("The H.264 stream has no pictures.")
    return found
