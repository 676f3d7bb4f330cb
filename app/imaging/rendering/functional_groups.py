"""The values of a frame: from its functional groups, from those that all frames share, and from the dataset.

PS3.3 C.7.6.16. The first of the three that has a value counts.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import isnan, nan
from typing import Final

from app.dicom.encoding.attribute_reader import AttributeReader
from app.imaging.rendering.lookup_table import read_table
from app.imaging.rendering.parameters import Window
from app.imaging.rendering.window import window_of

MOST_KEPT: Final = 1 << 18
"""The largest number of frames whose values are kept, 64 bytes each. The file does not choose how much memory it is."""

SHARED_FUNCTIONAL_GROUPS: Final = 0x52009229
PER_FRAME_FUNCTIONAL_GROUPS: Final = 0x52009230

_PIXEL_VALUE_TRANSFORMATION: Final = 0x00289145
_FRAME_VOI_LUT: Final = 0x00289132
_VOI_LUT_SEQUENCE: Final = 0x00283010
_SEGMENT_IDENTIFICATION: Final = 0x0062000A
_REFERENCED_SEGMENT_NUMBER: Final = 0x0062000B
_PIXEL_MEASURES: Final = 0x00289110
_PIXEL_SPACING: Final = 0x00280030
_RESCALE_INTERCEPT: Final = 0x00281052
_RESCALE_SLOPE: Final = 0x00281053

_FUNCTIONS: Final = ("linear", "linear-exact", "sigmoid")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameValues:
    """What the attributes say of one frame. None: no value.

    `voi_lut` is an item of VOI LUT Sequence with a table; then there is no window. `spacing` is Pixel Spacing: the
    distances between rows and between columns, in mm.
    """

    slope: float | None = None
    intercept: float | None = None
    window: Window | None = None
    voi_lut: AttributeReader | None = None
    segment: int | None = None
    spacing: tuple[float, float] | None = None

    def or_else(self, other: FrameValues) -> FrameValues:
        """Return these values, with those of `other` where these have none."""
        voi = self if self.window or self.voi_lut else other
        return FrameValues(
            slope=other.slope if self.slope is None else self.slope,
            intercept=other.intercept if self.intercept is None else self.intercept,
            window=voi.window,
            voi_lut=voi.voi_lut,
            segment=other.segment if self.segment is None else self.segment,
            spacing=other.spacing if self.spacing is None else self.spacing,
        )


class FunctionalGroups:
    """Returns the values of each frame of an instance.

    A very long per-frame sequence is read once, and its values are kept: 64 bytes for each of the first `MOST_KEPT`
    frames. Later frames, and frames with a VOI LUT of their own, are read again. In other sequences a frame costs the
    reading of one item. Safe to use from several threads.
    """

    def __init__(self, attributes: AttributeReader) -> None:
        self._attributes = attributes
        shared = attributes.item(SHARED_FUNCTIONAL_GROUPS)
        dataset = _rescale_and_window(attributes, attributes, attributes)
        self.common = _group_values(shared).or_else(dataset) if shared else dataset
        """The values of frames without values of their own."""
        self._large = attributes.is_large(PER_FRAME_FUNCTIONAL_GROUPS)
        self._kept: array[float] | None = None

    def values(self, number: int) -> FrameValues:
        """Return the values of a frame. Frames are numbered from 1. A frame without a group has the common values."""
        if number < 1:
            return self.common
        own = self._from_large(number - 1) if self._large else self._from_item(number - 1)
        return own.or_else(self.common) if own else self.common

    def _from_item(self, index: int) -> FrameValues | None:
        group = self._attributes.item(PER_FRAME_FUNCTIONAL_GROUPS, index)
        return _group_values(group) if group else None

    def _from_large(self, index: int) -> FrameValues | None:
        if self._kept is None:
            kept = array("d")
            for group in islice(self._attributes.items(PER_FRAME_FUNCTIONAL_GROUPS), MOST_KEPT):
                kept.extend(_packed(_group_values(group)))
            self._kept = kept
        row = self._kept[index * _PACKED : (index + 1) * _PACKED]
        if index >= MOST_KEPT or (row and row[_FUNCTION] == _HAS_VOI_LUT):
            return self._from_item(index)
        return _unpacked(row) if row else None


_PACKED: Final = 8
_FUNCTION: Final = 4
_HAS_VOI_LUT: Final = -1


def _packed(values: FrameValues) -> Iterator[float]:
    window, spacing = values.window, values.spacing
    yield nan if values.slope is None else values.slope
    yield nan if values.intercept is None else values.intercept
    yield window.center if window else nan
    yield window.width if window else nan
    yield _HAS_VOI_LUT if values.voi_lut else _FUNCTIONS.index(window.function) if window else 0
    yield nan if values.segment is None else values.segment
    yield from spacing or (nan, nan)


def _unpacked(row: array[float]) -> FrameValues:
    slope, intercept, center, width, function, segment, vertical, horizontal = row
    return FrameValues(
        slope=None if isnan(slope) else slope,
        intercept=None if isnan(intercept) else intercept,
        window=None if isnan(width) else Window(center, width, _FUNCTIONS[int(function)]),
        segment=None if isnan(segment) else int(segment),
        spacing=None if isnan(vertical) else (vertical, horizontal),
    )


def _group_values(group: AttributeReader) -> FrameValues:
    segment = group.item(_SEGMENT_IDENTIFICATION)
    number = segment.integer(_REFERENCED_SEGMENT_NUMBER, 0) if segment else None
    values = _rescale_and_window(
        group.item(_PIXEL_VALUE_TRANSFORMATION), group.item(_FRAME_VOI_LUT), group.item(_PIXEL_MEASURES)
    )
    return FrameValues(segment=number).or_else(values)


def _rescale_and_window(
    rescale: AttributeReader | None, voi: AttributeReader | None, measures: AttributeReader | None
) -> FrameValues:
    spacing = measures.numbers(_PIXEL_SPACING)[:2] if measures else []
    lut = voi.item(_VOI_LUT_SEQUENCE) if voi else None
    lut = lut if lut and read_table(lut, signed=False) else None
    return FrameValues(
        slope=rescale.number(_RESCALE_SLOPE) if rescale else None,
        intercept=rescale.number(_RESCALE_INTERCEPT) if rescale else None,
        window=window_of(voi) if voi and not lut else None,
        voi_lut=lut,
        spacing=(spacing[0], spacing[1]) if len(spacing) == 2 else None,
    )
