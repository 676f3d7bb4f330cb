"""Colour: the samples of three or four colours become RGB of 8 bits (PS3.3 C.7.6.3.1.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.errors import ImageFailure
from app.imaging.pixels.description import PixelDescription
from app.imaging.rendering.blocks import in_blocks, pixels_in_blocks
from app.imaging.rendering.lookup_table import look_up, possible_values

Bytes = NDArray[np.uint8]

_PARTIAL: Final = ((1.1644, 0.0, 1.5960), (1.1644, -0.3917, -0.8130), (1.1644, 2.0173, 0.0))


def rgb(samples: NDArray[Any], photometric: str, description: PixelDescription) -> Bytes:
    """Return (rows, columns, 3) in RGB, as one block of memory, because encoders read nothing else.

    `photometric` is that of the samples. Raises `ImageFailure` for one that cannot be shown.
    """
    convert = _CONVERSIONS.get(photometric)
    if convert is None:
        raise ImageFailure(f"The photometric interpretation {photometric[:16]!r} is not supported.")
    if samples.ndim != 3 or samples.shape[2] < 3:
        raise ImageFailure(f"The photometric interpretation {photometric} needs three samples per pixel.")
    return np.ascontiguousarray(convert(eight_bits(samples, description)))


def eight_bits(samples: NDArray[Any], description: PixelDescription) -> Bytes:
    """Return colour samples in 8 bits. Those of fewer or more bits are scaled, negative ones are 0."""
    bits = description.bits_stored
    if samples.dtype == np.uint8 and bits >= 8:
        return samples
    if samples.dtype.kind not in "iu":
        raise ImageFailure("Colours that are floating point numbers are not supported.")
    if samples.dtype.itemsize > 2:
        return in_blocks(samples, lambda block: np.clip(block >> max(bits - 8, 0), 0, 255).astype(np.uint8))
    scaled = possible_values(samples.dtype) * (255 / ((1 << bits) - 1))
    return look_up(np.rint(np.clip(scaled, 0, 255)).astype(np.uint8), samples)


def _from_rgb(samples: Bytes) -> Bytes:
    return samples[..., :3]


def _from_full(samples: Bytes) -> Bytes:
    """From YBR_FULL. Pillow has the equations of JFIF, which are the same."""
    return _by_pillow(samples[..., :3], "YCbCr")


def _from_partial(samples: Bytes) -> Bytes:
    """From YBR_PARTIAL_420 and YBR_PARTIAL_422: black is 16, white is 235."""
    return _computed(samples, lambda ybr: (ybr - (16, 128, 128)) @ np.array(_PARTIAL).T)


def _from_reversible(samples: Bytes) -> Bytes:
    """From YBR_RCT whose colour differences are stored with an offset of 128."""

    def convert(ybr: NDArray[np.float64]) -> NDArray[np.float64]:
        blue, red = ybr[:, 1] - 128, ybr[:, 2] - 128
        green = ybr[:, 0] - np.floor((blue + red) / 4)
        return np.stack([red + green, green, blue + green], axis=1)

    return _computed(samples, convert)


def _from_argb(samples: Bytes) -> Bytes:
    """From ARGB (retired). The first sample is no colour."""
    return samples[..., -3:]


def _from_cmyk(samples: Bytes) -> Bytes:
    """From CMYK (retired). 0 is no ink."""
    if samples.shape[2] < 4:
        raise ImageFailure("The photometric interpretation CMYK needs four samples per pixel.")
    return _by_pillow(samples, "CMYK")


def _by_pillow(samples: Bytes, mode: str) -> Bytes:
    """Return RGB of pixels in a mode of Pillow."""

    def convert(block: Bytes) -> Bytes:
        source = Image.frombuffer(mode, (len(block), 1), np.ascontiguousarray(block), "raw", mode, 0, 1)
        converted: Bytes = np.asarray(source.convert("RGB"))[0]
        return converted

    return pixels_in_blocks(samples, convert)


def _computed(samples: Bytes, convert: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Bytes:
    """Return RGB of pixels. `convert` turns (pixels, 3) into (pixels, 3) on the scale 0 to 255."""

    def rounded(block: Bytes) -> Bytes:
        colours: Bytes = np.rint(np.clip(convert(block[:, :3].astype(np.float64)), 0, 255)).astype(np.uint8)
        return colours

    return pixels_in_blocks(samples, rounded)


_CONVERSIONS: Final[dict[str, Callable[[Bytes], Bytes]]] = {
    "RGB": _from_rgb,
    "YBR_FULL": _from_full,
    "YBR_FULL_422": _from_full,
    "YBR_ICT": _from_full,
    "YBR_RCT": _from_reversible,
    "YBR_PARTIAL_420": _from_partial,
    "YBR_PARTIAL_422": _from_partial,
    "ARGB": _from_argb,
    "CMYK": _from_cmyk,
}
