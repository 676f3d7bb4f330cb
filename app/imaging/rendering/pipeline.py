"""The rendering pipeline: the samples of a frame and the attributes of its instance become a picture.

PS3.4 N.2, conformance §4.13.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.dicom.encoding.attribute_reader import AttributeReader
from app.errors import ImageFailure
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import DecodedFrame
from app.imaging.pixels.native import words
from app.imaging.rendering.aspect import pixel_aspect
from app.imaging.rendering.colour import rgb
from app.imaging.rendering.colour_management import ColourManagement
from app.imaging.rendering.dose import RT_DOSE, dose_colours, dose_values
from app.imaging.rendering.functional_groups import FrameValues, FunctionalGroups
from app.imaging.rendering.grayscale import Grayscale
from app.imaging.rendering.lookup_table import look_up
from app.imaging.rendering.overlays import Overlays, draw, every_step
from app.imaging.rendering.palette import Palette
from app.imaging.rendering.parameters import ColourProfile, Window
from app.imaging.rendering.picture import Picture
from app.imaging.rendering.segmentation import Segmentation
from app.imaging.rendering.window import window_between

Bytes = NDArray[np.uint8]

_SOP_CLASS_UID: Final = 0x00080016
_PIXEL_PRESENTATION: Final = 0x00089205
_KEPT_DETAIL: Final = 2
"""How many times larger than the wanted picture a frame remains when rows and columns are left out."""


class RenderingPipeline:
    """Renders the frames of one instance.

    It reads the attributes once and keeps lookup tables. The same object should render all frames of the instance, and
    it should be kept as long as its attributes are: it needs up to 1 MiB. Safe to use from several threads.
    """

    def __init__(self, attributes: AttributeReader, description: PixelDescription) -> None:
        self._attributes = attributes
        self._description = description
        self._groups = FunctionalGroups(attributes)
        self._grayscale = Grayscale(attributes, description)
        self._overlays = Overlays(attributes, description)
        self._segmentation = Segmentation.of(attributes, description)
        self._is_dose = attributes.text(_SOP_CLASS_UID) == RT_DOSE
        self._supplemental = attributes.text(_PIXEL_PRESENTATION) in ("COLOR", "MIXED")
        has_palette = self._supplemental or description.photometric == "PALETTE COLOR"
        self._palette = Palette.of(attributes, signed=description.signed) if has_palette else None

    @cached_property
    def _colours(self) -> ColourManagement:
        return ColourManagement(self._attributes)

    @property
    def needs_native_data(self) -> bool:
        """True if overlays are in bits of the pixel data that `DecodedFrame` does not have."""
        return self._overlays.in_pixel_data

    def render(
        self,
        frame: DecodedFrame,
        number: int = 1,
        *,
        window: Window | None = None,
        default: Window | None = None,
        icc_profile: ColourProfile | None = None,
        native_data: bytes | None = None,
        step: int = 1,
    ) -> Picture:
        """Return the picture of a frame. Frames are numbered from 1.

        `window` applies to modality values, instead of the window or VOI LUT of the attributes. `default` is for images
        whose attributes have neither; without it such an image gets `automatic_window`. `native_data` is the bytes of
        the frame, see `needs_native_data`. The picture has only each `step`th row and column, see `thumbnail_step`.
        Raises `ImageFailure` if the samples cannot be shown.
        """
        samples, values = _plain(frame.samples), self._values(number)
        picked = np.ascontiguousarray(samples[::step, ::step]) if step > 1 else samples
        pixels = self._pixels(picked, frame.photometric, values, window, default)
        pixels, profile = self._colours.converted(pixels, icc_profile)
        stored = words(self._description, native_data) if native_data and self.needs_native_data else None
        mask = self._overlays.mask(number, stored)
        if mask is not None:
            pixels = draw(pixels, every_step(mask, step))
        return Picture(pixels=pixels, pixel_aspect=pixel_aspect(self._attributes, values), icc=profile)

    def needs_window(self, number: int = 1) -> bool:
        """Return True if a frame is shown with an automatic window, because its attributes have none and no VOI LUT."""
        if self._description.samples > 1 or self._segmentation or self._description.photometric == "PALETTE COLOR":
            return False
        values = self._values(number)
        return values.window is None and values.voi_lut is None

    def automatic_window(self, frame: DecodedFrame, number: int = 1) -> Window:
        """Return a window from the samples of a frame. Callers keep it, so that all frames of a series look alike.

        A frame from the middle of the series is the best one. The window of a dose begins at 0.
        """
        return self._automatic(_plain(frame.samples), self._values(number))

    def thumbnail_step(self, width: int, height: int) -> int:
        """Return how many rows and columns can be left out before a frame is scaled to a picture of this size.

        What remains is at least twice as large as the picture, so the scaling still averages neighbours.
        """
        ratio = min(self._description.columns / max(width, 1), self._description.rows / max(height, 1))
        return max(1, int(ratio / _KEPT_DETAIL))

    def _values(self, number: int) -> FrameValues:
        if self._description.samples > 1:
            return self._groups.common
        values = self._groups.values(number)
        return dose_values(self._attributes, values) if self._is_dose else values

    def _pixels(
        self,
        samples: NDArray[Any],
        photometric: str,
        values: FrameValues,
        window: Window | None,
        default: Window | None,
    ) -> Bytes:
        if samples.ndim == 3:
            return rgb(samples, _colour(photometric), self._description)
        if photometric == "PALETTE COLOR":
            if self._palette is None:
                raise ImageFailure("The palette is missing.")
            return self._palette.rgb(samples)
        if self._segmentation is not None:
            return self._segmentation.rgb(samples, values)
        shades = self._grayscale.shades(samples, values, self._window(samples, values, window, default))
        if self._is_dose:
            return look_up(dose_colours(), shades)
        if self._supplemental and self._palette is not None:
            return self._palette.over(shades, samples)
        return shades

    def _window(
        self, samples: NDArray[Any], values: FrameValues, window: Window | None, default: Window | None
    ) -> Window | None:
        """Return the window of a frame, None for the VOI LUT."""
        if window is not None or values.voi_lut is not None:
            return window
        return values.window or default or self._automatic(samples, values)

    def _automatic(self, samples: NDArray[Any], values: FrameValues) -> Window:
        if self._is_dose:
            return window_between(0, self._grayscale.largest_value(samples, values))
        if self._supplemental and self._palette is not None and samples.dtype.kind in "iu":
            # The samples that the palette colours are no grays. One row of the others is enough.
            samples = samples[samples < self._palette.first].reshape(1, -1)
        return self._grayscale.automatic_window(samples, values)


def _plain(samples: NDArray[Any]) -> NDArray[Any]:
    """Return samples of one bit as numbers, and colour samples of one colour as shades."""
    if samples.dtype == np.bool_:
        samples = samples.view(np.uint8)
    return samples[..., 0] if samples.ndim == 3 and samples.shape[2] == 1 else samples


def _colour(photometric: str) -> str:
    """Return the photometric interpretation of samples of three colours. One for a single colour is wrong: RGB."""
    return "RGB" if photometric.startswith(("MONOCHROME", "PALETTE")) else photometric
