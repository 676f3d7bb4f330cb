"""Colour: the samples of three or four colours become RGB of 8 bits (PS3.3 C.7.6.3.1.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.errors import ImageFailure
from app.imaging.pixels.description import PixelDescription
from app.imaging.rendering.blocks import in_blocks
from app.imaging.rendering.lookup_table import look_up, possible_values

Bytes = NDArray[np.uint8]

_BLOCK: Final = 1 << 16
"""How many pixels are computed at once, for conversions that need numbers with a fraction."""
_PARTIAL: Final = ((1.1644, 0.0, 1.5960), (1.1644, -0.3917, -0.8130), (1.1644, 2.0173, 0.0))


def rgb(samples: NDArray[Any], photometric: str, description: PixelDescription) -> Bytes:
    """Return (rows, columns, 3) in RGB.

    `photometric` is that of the samples. Raises `ImageFailure` for one that cannot be shown.
    """
    convert = _CONVERSIONS.get(photometric)
    if convert is None:
        raise ImageFailure(f"The photometric interpretation {photometric[:16]!r} is not supported.")
    if samples.ndim != 3 or samples.shape[2] < 3:
        raise ImageFailure(f"The photometric interpretation {photometric} needs three samples per pixel.")
    return convert(eight_bits(samples, description))


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
    pixels = np.ascontiguousarray(samples[..., :3])
    size = (pixels.shape[1], pixels.shape[0])
    return np.asarray(Image.frombuffer("YCbCr", size, pixels, "raw", "YCbCr", 0, 1).convert("RGB"))


def _from_partial(samples: Bytes) -> Bytes:
    """From YBR_PARTIAL_420 and YBR_PARTIAL_422: black is 16, white is 235."""
    return _in_blocks(samples, lambda ybr: (ybr - (16, 128, 128)) @ np.array(_PARTIAL).T)


def _from_reversible(samples: Bytes) -> Bytes:
    """From YBR_RCT whose colour differences are stored with an offset of 128."""

    def convert(ybr: NDArray[np.float64]) -> NDArray[np.float64]:
        blue, red = ybr[:, 1] - 128, ybr[:, 2] - 128
        green = ybr[:, 0] - np.floor((blue + red) / 4)
        return np.stack([red + green, green, blue + green], axis=1)

    return _in_blocks(samples, convert)


def _in_blocks(samples: Bytes, convert: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Bytes:
    """Return the colours of all pixels. `convert` turns (pixels, 3) into (pixels, 3) on the scale 0 to 255."""
    pixels = samples[..., :3].reshape(-1, 3)
    colours = np.empty_like(pixels)
    for start in range(0, len(pixels), _BLOCK):
        block = convert(pixels[start : start + _BLOCK].astype(np.float64))
        colours[start : start + _BLOCK] = np.rint(np.clip(block, 0, 255)).astype(np.uint8)
    return colours.reshape(*samples.shape[:2], 3)


def _from_argb(samples: Bytes) -> Bytes:
    """From ARGB (retired). The first sample is no colour."""
    return samples[..., -3:]


def _from_cmyk(samples: Bytes) -> Bytes:
    """From CMYK (retired). 0 is no ink."""
    if samples.shape[2] < 4:
        raise ImageFailure("The photometric interpretation CMYK needs four samples per pixel.")
    pixels = np.ascontiguousarray(samples)
    size = (pixels.shape[1], pixels.shape[0])
    return np.asarray(Image.frombuffer("CMYK", size, pixels, "raw", "CMYK", 0, 1).convert("RGB"))


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
