"""Computing a frame block by block. Intermediate numbers need little memory, and fit into the cache of a processor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_BLOCK: Final = 1 << 16
"""How many samples, or pixels of several colours, a block has."""


def in_blocks(
    samples: NDArray[Any], convert: Callable[[NDArray[Any]], NDArray[np.uint8]], colours: int = 1
) -> NDArray[np.uint8]:
    """Return `convert` of all samples: (*samples.shape) of bytes, or (*samples.shape, colours) for several colours.

    `convert` gets blocks of one dimension, and returns (samples,) or (samples, colours).
    """
    flat = samples.reshape(-1)
    shape = () if colours == 1 else (colours,)
    found = np.empty((flat.size, *shape), np.uint8)
    for start in range(0, flat.size, _BLOCK):
        found[start : start + _BLOCK] = convert(flat[start : start + _BLOCK])
    return found.reshape(*samples.shape, *shape)


def pixels_in_blocks(
    samples: NDArray[np.uint8], convert: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Return `convert` of all pixels: (rows, columns, 3). It gets (pixels, samples), and returns (pixels, 3)."""
    rows, columns, count = samples.shape
    pixels = samples.reshape(-1, count)
    found = np.empty((len(pixels), 3), np.uint8)
    for start in range(0, len(pixels), _BLOCK):
        found[start : start + _BLOCK] = convert(pixels[start : start + _BLOCK])
    return found.reshape(rows, columns, 3)
