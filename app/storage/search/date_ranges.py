"""Ranges of dates: the lists of days, months and years that have the objects of a range (`records/periods.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from app.dicom.query.matching import Between, Filter, Query
from app.storage.records.periods import OTHER, covering
from app.storage.records.spread_lists import parts_of_periods, parts_of_values
from app.storage.table import keys
from app.storage.table.ports import Range, Table

_DAY: Final = len("20240301")
_SMALLEST_CHUNK: Final = 8

_SHORT_RANGE: Final = 10
"""Years of a range that need not be read."""

_MOST_YEARS: Final = 150
"""The patients of an archive live so many years."""


class DateList(NamedTuple):
    """The place of a posting list: partition key and prefix of its sort keys."""

    pk: str
    prefix: str


def has_periods(query: Query, wanted: Filter) -> bool:
    """Return whether a filter is a range of dates of the result level, whose postings of periods are newest first."""
    attribute = wanted.attribute
    return attribute.has_periods and attribute.posted_at is query.level and isinstance(wanted.condition, Between)


def date_lists(table: Table, partition: int, kind: str, wanted: Filter, shards: int) -> list[DateList]:
    """Return the lists that together have every object of a kind whose date may be in a range.

    Objects of earlier layouts may be missing. There are at most 62 days, 22 months, and the years of the archive. Each
    list has several parts if the archive has `shards`.
    """
    dates = wanted.condition
    if not isinstance(dates, Between):
        return []
    key = wanted.attribute.key
    periods, days = (of(partition, kind, key, shards) for of in (parts_of_periods, parts_of_values))
    names = [*covering(dates.low, dates.high, _years(table, periods, dates)), OTHER]
    return [DateList(pk, keys.entries(name)) for name in names for pk in (days if len(name) == _DAY else periods)]


def chunk_of(lists: int, page: int) -> int:
    """Return how many postings to read first from each of so many lists that share a page."""
    return min(page, max(_SMALLEST_CHUNK, 4 * page // lists))


def _years(table: Table, periods: Sequence[str], dates: Between) -> Sequence[int]:
    """Return all years of the range that have dates, and perhaps other years.

    `periods` are the partition keys of the years. The years of a short range are not read. Otherwise these are two
    short reads of each part. If the first and the last year of all dates are far apart, each year is read: one of the
    two is a wrong date.
    """
    if dates.low and dates.high and int(dates.high[:4]) - int(dates.low[:4]) <= _SHORT_RANGE:
        return range(int(dates.low[:4]), int(dates.high[:4]) + 1)
    ends = [_year(table, pk, keys.YEARS, reverse=reverse) for pk in periods for reverse in (False, True)]
    years = [year for year in ends if year is not None]
    if not years:
        return []
    if max(years) - min(years) <= _MOST_YEARS:
        return range(min(years), max(years) + 1)
    return sorted({year for pk in periods for year in _each_year(table, pk)})


def _each_year(table: Table, periods: str) -> Iterator[int]:
    between = keys.YEARS
    while (year := _year(table, periods, between)) is not None:
        yield year
        between = keys.years_after(year)


def _year(table: Table, periods: str, between: Range, *, reverse: bool = False) -> int | None:
    item = next(iter(table.query(periods, between, reverse=reverse, limit=1)), None)
    return int(item.key.sk[:4]) if item else None
