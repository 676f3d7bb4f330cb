"""The rendering pipeline: the samples of a frame and the attributes of its instance become a picture (PS3.4 N.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.dicom.encoding.attribute_reader import AttributeReader
from app.errors import ImageFailure
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import DecodedFrame
from app.imaging.rendering.colour import rgb
from app.imaging.rendering.functional_groups import FrameValues, FunctionalGroups
from app.imaging.rendering.grayscale import Grayscale
from app.imaging.rendering.palette import Palette
from app.imaging.rendering.parameters import Window
from app.imaging.rendering.picture import Picture


class Renderer:
    """Renders the frames of one instance.

    It reads the attributes once and keeps lookup tables. The same object should render all frames of the instance, and
    it should be kept as long as its attributes are: it needs up to 1 MiB. Safe to use from several threads.
    """

    def __init__(self, attributes: AttributeReader, description: PixelDescription) -> None:
        self._attributes = attributes
        self._description = description
        self._groups = FunctionalGroups(attributes)
        self._grayscale = Grayscale(attributes, description)
        self._palette = Palette.of(attributes, signed=description.signed)

    def render(
        self, frame: DecodedFrame, number: int = 1, *, window: Window | None = None, default: Window | None = None
    ) -> Picture:
        """Return the picture of a frame. Frames are numbered from 1.

        `window` applies to modality values, instead of the window or VOI LUT of the attributes. `default` is for images
        whose attributes have neither; without it such an image gets `automatic_window`. Raises `ImageFailure` if the
        samples cannot be shown.
        """
        samples = _plain(frame.samples)
        values = self._groups.values(number)
        if samples.ndim == 3:
            pixels = rgb(samples, _colour(frame.photometric), self._description)
        elif frame.photometric == "PALETTE COLOR":
            if self._palette is None:
                raise ImageFailure("The palette is missing.")
            pixels = self._palette.rgb(samples)
        else:
            pixels = self._grayscale.shades(samples, values, self._window(samples, values, window, default))
        return Picture(pixels=pixels)

    def needs_window(self, number: int = 1) -> bool:
        """Return True if the attributes give neither a window nor a VOI LUT for a frame of shades of gray."""
        gray = self._description.samples == 1 and self._description.photometric != "PALETTE COLOR"
        return gray and not self._grayscale.has_voi_table() and self._groups.values(number).window is None

    def automatic_window(self, frame: DecodedFrame, number: int = 1) -> Window:
        """Return a window from the samples of a frame. Callers keep it, so that all frames of a series look alike."""
        return self._grayscale.automatic_window(_plain(frame.samples), self._groups.values(number))

    def _window(
        self, samples: NDArray[Any], values: FrameValues, window: Window | None, default: Window | None
    ) -> Window | None:
        """Return the window of a frame, None for the VOI LUT."""
        if window is not None:
            return window
        if self._grayscale.has_voi_table():
            return None
        return values.window or default or self._grayscale.automatic_window(samples, values)


def render(
    frame: DecodedFrame,
    attributes: AttributeReader,
    description: PixelDescription,
    number: int = 1,
    window: Window | None = None,
) -> Picture:
    """Return the picture of one frame. See `Renderer`, which is faster for several."""
    return Renderer(attributes, description).render(frame, number, window=window)


def _plain(samples: NDArray[Any]) -> NDArray[Any]:
    """Return samples of one bit as numbers, and colour samples of one colour as shades."""
    if samples.dtype == np.bool_:
        samples = samples.view(np.uint8)
    return samples[..., 0] if samples.ndim == 3 and samples.shape[2] == 1 else samples


def _colour(photometric: str) -> str:
    """Return the photometric interpretation of samples of three colours. One for a single colour is wrong: RGB."""
    return "RGB" if photometric.startswith(("MONOCHROME", "PALETTE")) else photometric
