"""How values look on pages: dates, sizes, names of people. Templates use these functions as filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB", "PB")


def size(count: int) -> str:
    """Return a number of bytes in a unit of its magnitude, e.g. `1.5 MB` (powers of 1000)."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{count} bytes" if not unit else f"{value:.3g} {_UNITS[unit]}"


FILTERS: Final[Mapping[str, Callable[..., str]]] = {"size": size}
