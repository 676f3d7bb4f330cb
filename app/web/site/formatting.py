"""How values look on pages: dates, sizes, names of people. Templates use these functions as filters.

Values come from files of strangers. Templates escape them. These functions never fail on a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB", "PB")
_SHORT: Final = 120
_DATE: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})", re.ASCII)
_TIME: Final = re.compile(r"([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.[0-9]*)?)?)?", re.ASCII)
_UNSEEN: Final = dict.fromkeys(
    (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)),
    "\N{REPLACEMENT CHARACTER}",
) | {ord("\t"): " ", ord("\n"): "\n", ord("\r"): None}
"""Control characters, surrogates, and characters that change the direction of the text around them."""


def size(count: int) -> str:
    """Return a number of bytes in a unit of its magnitude, e.g. `1.5 MB` (powers of 1000)."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{count} bytes" if not unit else f"{value:.3g} {_UNITS[unit]}"


def number(count: int) -> str:
    """Return a number with groups of three digits, e.g. `12 345`, with narrow spaces that do not break."""
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun, e.g. `1 image` or `12 images`."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def visible(value: Any) -> str:
    """Return text without characters that nobody sees or that turn the direction of the text around them."""
    return str(value).translate(_UNSEEN)


def short(text: str, length: int = _SHORT) -> str:
    """Return the first characters of a long text, with a mark that more follows."""
    return text if len(text) <= length else f"{text[:length].rstrip()}…"


def date(text: str) -> str:
    """Return a DICOM date (PS3.5 §6.2, DA) as `2024-01-15`. Other text stays as it is."""
    found = _DATE.fullmatch(text)
    return "-".join(found.groups()) if found else text


def time(text: str) -> str:
    """Return a DICOM time (PS3.5 §6.2, TM) as `13:14:15`, without a fraction. Other text stays as it is."""
    found = _TIME.fullmatch(text)
    return ":".join(filter(None, found.groups())) if found else text


def day(timestamp: str) -> str:
    """Return the date of a time stamp of the service (`storage/table/clock.py`)."""
    return timestamp.partition("T")[0]


def person(text: str) -> str:
    """Return a component group of a person name (PS3.5 §6.2.1.1) as `Family, Given Middle, Prefix, Suffix`."""
    family, given, middle, *affixes = (*(part.strip() for part in text.split("^")), "", "", "")
    names = " ".join(filter(None, (given, middle)))
    return ", ".join(filter(None, (family, names, *affixes)))


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "size": size,
    "number": number,
    "counted": counted,
    "visible": visible,
    "short": short,
    "date": date,
    "time": time,
    "day": day,
    "person": person,
}
