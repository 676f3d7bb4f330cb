"""Samples of the mu-law and the A-law of ITU-T G.711, which have 8 bits, as linear numbers of 16 bits."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray


def linear(stored: NDArray[Any], interpretation: str) -> NDArray[np.float64]:
    """Return samples as linear numbers. Only those of the interpretations MB (mu-law) and AB (A-law) change."""
    if interpretation in _LAWS:
        expanded: NDArray[np.float64] = _LAWS[interpretation][stored]
        return expanded
    return stored.astype(np.float64)


def _mu_law() -> NDArray[np.float64]:
    codes = ~np.arange(256) & 0xFF
    magnitude = ((((codes & 0x0F) << 3) + 0x84) << ((codes & 0x70) >> 4)) - 0x84
    return _with_sign(magnitude, codes & 0x80 == 0)


def _a_law() -> NDArray[np.float64]:
    codes = np.arange(256) ^ 0x55
    exponent = (codes & 0x70) >> 4
    mantissa = ((codes & 0x0F) << 4) + 8
    magnitude = np.where(exponent > 0, (mantissa + 0x100) << np.maximum(exponent - 1, 0), mantissa)
    return _with_sign(magnitude, codes & 0x80 != 0)


def _with_sign(magnitude: NDArray[np.int64], is_positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(is_positive, magnitude, -magnitude).astype(np.float64)


_LAWS: Final = {"MB": _mu_law(), "AB": _a_law()}
