"""The years and months of dates. A row has a posting for each, beside the one for the day.

The newest entry comes first in the list of a year, as in every posting list. So a range of dates is a union of lists:
of the days at its ends, of the months beside them, and of the years between. A page of it is read newest first, and
costs what the page holds, however many objects the range has.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final

OTHER: Final = "other"
"""The period of a value that is no date of the calendar. It may be between two dates, because texts are compared."""

_MONTHS: Final = range(1, 13)


def periods_of(value: str) -> tuple[str, ...]:
    """Return the periods of a canonical value of VR DA: `2024` and `202403`, or `OTHER`."""
    return (value[:4], value[:6]) if _is_date(value) else (OTHER,)


def _is_date(value: str) -> bool:
    if len(value) != 8 or not (value.isascii() and value.isdigit()):
        return False
    try:
        date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        return False
    return True


def covering(low: str, high: str, years: Iterable[int]) -> Iterator[str]:
    """Yield the fewest days, months and years that together have exactly the dates of a range, both ends included.

    `low` and `high` are dates as `20240301`; an empty one leaves that side open. Years outside `years` are left out.
    """
    for year in years:
        first, last = f"{year:04d}0101", f"{year:04d}1231"
        if last < low or (high and first > high):
            continue
        if low <= first and (not high or last <= high):
            yield f"{year:04d}"
        else:
            yield from _in_year(low, high, year)


def _in_year(low: str, high: str, year: int) -> Iterator[str]:
    for month in _MONTHS:
        name = f"{year:04d}{month:02d}"
        first = f"{name}01"
        if f"{name}31" < low or (high and first > high):
            continue
        days = monthrange(year, month)[1]
        last = f"{name}{days:02d}"
        if low <= first and (not high or last <= high):
            yield name
        else:
            found = (f"{name}{day:02d}" for day in range(1, days + 1))
            yield from (day for day in found if low <= day and (not high or day <= high))
