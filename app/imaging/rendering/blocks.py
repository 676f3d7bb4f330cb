"""Computing a frame block by block, so that intermediate numbers need little memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_BLOCK: Final = 1 << 16
"""How many samples a block has."""


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
