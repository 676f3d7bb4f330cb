"""The grayscale pipeline: modality, values of interest, presentation (PS3.4 N.2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.dicom.encoding.attribute_reader import AttributeReader
from app.imaging.pixels.description import PixelDescription
from app.imaging.rendering.blocks import in_blocks
from app.imaging.rendering.functional_groups import FrameValues
from app.imaging.rendering.lookup_table import LookupTable, look_up, possible_values, read_table
from app.imaging.rendering.padding import Padding
from app.imaging.rendering.parameters import Window
from app.imaging.rendering.window import Doubles, window_between, windowed

_MODALITY_LUT_SEQUENCE: Final = 0x00283000
_PRESENTATION_LUT_SEQUENCE: Final = 0x20500010
_PRESENTATION_LUT_SHAPE: Final = 0x20500020

_KEPT_TABLES: Final = 4
"""How many tables of samples to shades one image keeps. A table has at most 64 KiB."""
_MEASURED_SAMPLES: Final = 1 << 16
"""About how many samples of a frame an automatic window is computed from."""
_PERCENTILES: Final = (0.5, 99.5)


@dataclass(frozen=True, slots=True, eq=False)
class Modality:
    """Turns stored values into modality values (PS3.3 C.11.1): with a table, or with a slope and an intercept."""

    slope: float
    intercept: float
    table: LookupTable | None

    @classmethod
    def of(cls, values: FrameValues, table: LookupTable | None) -> Modality:
        """Return the transform of a frame. A slope of 0, and numbers that are not finite, are ignored."""
        slope, intercept = values.slope, values.intercept
        return cls(
            slope if slope is not None and slope != 0 and isfinite(slope) else 1.0,
            intercept if intercept is not None and isfinite(intercept) else 0.0,
            table,
        )

    def __call__(self, stored: Doubles) -> Doubles:
        if self.table is not None:
            return self.table.outputs(stored)
        with np.errstate(all="ignore"):
            return stored * self.slope + self.intercept


class Grayscale:
    """The pipeline of the frames of one instance.

    It keeps the tables that it used last, so the same object should render all frames. Safe to use from several
    threads.
    """

    def __init__(self, attributes: AttributeReader, description: PixelDescription) -> None:
        self._description = description
        self._padding = Padding.of(attributes, description)
        self._modality_table = _first_table(attributes, _MODALITY_LUT_SEQUENCE, description.signed)
        self._presentation = _first_table(attributes, _PRESENTATION_LUT_SEQUENCE, False)
        inverse = attributes.text(_PRESENTATION_LUT_SHAPE) == "INVERSE" or description.photometric == "MONOCHROME1"
        self._inverse = inverse and self._presentation is None
        self._tables: dict[object, NDArray[np.uint8]] = {}

    def automatic_window(self, samples: NDArray[Any], values: FrameValues) -> Window:
        """Return a window for a frame whose attributes have none.

        It is the whole range of samples of up to 8 bits. For other samples it leaves out half a percent of the darkest
        and of the brightest. Padding and values that are not finite do not count.
        """
        if not self._description.floating and self._description.bits_stored <= 8:
            ends = Modality.of(values, self._modality_table)(np.array(self._range()))
            return window_between(float(ends.min()), float(ends.max()))
        counted = self._measured(samples, values)
        low, high = np.percentile(counted, _PERCENTILES, method="nearest")
        if low == high:
            low, high = counted.min(), counted.max()
        return window_between(float(low), float(high))

    def largest_value(self, samples: NDArray[Any], values: FrameValues) -> float:
        """Return the largest modality value of a frame, about."""
        return float(self._measured(samples, values).max())

    def shades(self, samples: NDArray[Any], values: FrameValues, window: Window | None) -> NDArray[np.uint8]:
        """Return the shades of a frame: 0 is black, 255 is white. Padding is black.

        Without `window` the VOI LUT of the frame is used, or the whole range if it has none.
        """
        modality = Modality.of(values, self._modality_table)
        voi = window or self._own_voi(values, modality)
        if samples.dtype.kind not in "iu" or samples.dtype.itemsize > 2:
            return in_blocks(samples, lambda block: self._shades(block.astype(np.float64), modality, voi))
        key = (samples.dtype.str, modality.slope, modality.intercept, voi if isinstance(voi, Window) else voi.key)
        table = self._tables.get(key)
        if table is None:
            table = self._shades(possible_values(samples.dtype), modality, voi)
            if len(self._tables) >= _KEPT_TABLES:
                self._tables = {}
            self._tables[key] = table
        return look_up(table, samples)

    def _measured(self, samples: NDArray[Any], values: FrameValues) -> Doubles:
        """Return one or more modality values of a frame, without padding."""
        step = max(1, int((samples.size / _MEASURED_SAMPLES) ** 0.5))
        stored = samples[::step, ::step].astype(np.float64).reshape(-1)
        counted = Modality.of(values, self._modality_table)(stored[~self._padding.mask(stored)])
        counted = counted[np.isfinite(counted)]
        return counted if counted.size else np.zeros(1)

    def _shades(self, stored: Doubles, modality: Modality, voi: Window | LookupTable) -> NDArray[np.uint8]:
        """Return the shades of stored values."""
        values = modality(stored)
        shares = windowed(values, voi) if isinstance(voi, Window) else voi.outputs(values) / voi.largest
        if self._presentation is not None:
            shares = self._presentation.spread(shares)
        if self._inverse:
            shares = 1 - shares
        shades = np.rint(np.nan_to_num(shares) * 255).astype(np.uint8)
        shades[self._padding.mask(stored) | np.isnan(stored)] = 0
        return shades

    def _own_voi(self, values: FrameValues, modality: Modality) -> Window | LookupTable:
        """Return the VOI LUT of a frame, whose first input is signed if modality values can be negative."""
        ends = modality(np.array(self._range()))
        table = read_table(values.voi_lut, signed=bool(ends.min() < 0)) if values.voi_lut else None
        return table or window_between(float(ends.min()), float(ends.max()))

    def _range(self) -> tuple[float, float]:
        """The smallest and the largest stored value that the description permits."""
        bits = min(self._description.bits_stored, 32)
        return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if self._description.signed else (0.0, 2.0**bits - 1)


def _first_table(attributes: AttributeReader, tag: int, signed: bool) -> LookupTable | None:
    item = attributes.item(tag)
    return read_table(item, signed=signed) if item else None
