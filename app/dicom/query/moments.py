"""Values of VR DT: their moments in UTC, and the ranges that a query states (PS3.5 §6.2, PS3.4 §C.2.2.2.5.3).

A DT is `YYYYMMDDHHMMSS.FFFFFF&ZZXX`. Only the year is needed. An offset from UTC (`+0100`, `-0500`) may follow any
precision. A value without an offset is in the time zone of its dataset, (0008,0201), or in UTC if that is absent.

Two forms of a value are strings of one length, `20240301120000.000000`, and sort in the order of time:
* the wall time, without the offset. The index files values under it;
* the moment in UTC. Queries compare it.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from app.dicom.encoding.uids import PADDING
from app.dicom.json.dataset import JsonAttributes, JsonElement

TIMEZONE: Final = "00080201"
"""Timezone Offset From UTC."""

EARLIEST: Final = timedelta(hours=-12)
LATEST: Final = timedelta(hours=14)
"""The range of offsets from UTC."""

_FORM: Final = re.compile(r"(\d{4}(?:\d\d){0,5})(?:\.(\d{1,6}))?([+-]\d{4})?")
_START: Final = "00000101000000"
_MINUTE: Final = 12
"""Digits of a moment up to its minute. No offset changes the seconds, so a leap second stays one."""

_OFFSET: Final = r"(?:\+(?:(?:0\d|1[0-3])[0-5]\d|1400)|-(?!0000)(?:(?:0\d|1[01])[0-5]\d|1200))"
_IS_OFFSET: Final = re.compile(_OFFSET, re.ASCII)
_QUERIED: Final = rf"\d{{4}}(?:\d\d){{0,5}}(?:\.\d{{1,6}})?{_OFFSET}?"
_SINGLE: Final = re.compile(_QUERIED, re.ASCII)
_RANGE: Final = re.compile(rf"({_QUERIED})?\s*-\s*({_QUERIED})?", re.ASCII)
_PLUS: Final = re.compile(r"(?<=\d) (?=(?:0\d|1[0-4])[0-5]\d(?:\s*-|$))", re.ASCII)


class Bounds(NamedTuple):
    """The two ends of a range as the query has them. An empty end is open."""

    low: str
    high: str


def wall_time(text: str) -> str | None:
    """Return a DT without its offset, filled up to the start of its period. None for text that is not a DT."""
    found = _FORM.fullmatch(text.strip())
    if not found:
        return None
    digits, fraction, _offset = found.groups()
    return f"{digits}{_START[len(digits) :]}.{(fraction or '').ljust(6, '0')}"


def in_utc(text: str) -> str | None:
    """Return the moment in UTC at which the period of a DT starts, None for text that is not a DT.

    Ignores an offset that PS3.5 does not permit, and the offset of a day that does not exist.
    """
    wall, offset = wall_time(text), _offset(text)
    return wall if wall is None or not offset else shifted(wall, -offset)


def end_in_utc(text: str) -> str:
    """Return the last moment of the period of a DT, in UTC. `text` is a valid DT, perhaps with an offset."""
    digits, fraction, _ = _FORM.fullmatch(text).groups()  # type: ignore[union-attr]
    if len(digits) == len("YYYY"):
        digits += "12"
    if len(digits) == len("YYYYMM"):
        digits += str(monthrange(int(digits[:4]), int(digits[4:]))[1])
    if len(digits) < _MINUTE:
        digits += "2359"[len(digits) - len("YYYYMMDD") :]
    if len(digits) == _MINUTE:
        digits += "60"  # a leap second belongs to its minute
        fraction = "999999"
    wall = f"{digits}.{'999999' if fraction is None else fraction.ljust(6, '0')}"
    return shifted(wall, -_offset(text))


def shifted(moment: str, by: timedelta) -> str:
    """Return a moment moved by whole minutes, limited to the years 1 to 9999.

    A moment on a day that does not exist is returned as it is.
    """
    year, month, day, hour, minute = (int(moment[start:stop]) for start, stop in _PARTS)
    try:
        start = datetime(year, month, day, hour, minute)  # plain arithmetic; the offset is `by`
    except ValueError:
        return moment
    try:
        then = start + by
    except OverflowError:
        return "99991231235960.999999" if by > timedelta() else "00010101000000.000000"
    return f"{then.year:04}{then.month:02}{then.day:02}{then.hour:02}{then.minute:02}{moment[_MINUTE:]}"


_PARTS: Final = ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12))


def with_timezone(element: JsonElement, dataset: JsonAttributes) -> JsonElement:
    """Return a DT element in which each value without an offset has that of its dataset (PS3.3 §C.12.1.1.8).

    Returns the element itself if the dataset has no valid offset.
    """
    zone = dataset.get(TIMEZONE, {}).get("Value")
    offset = zone[0].strip(PADDING) if zone and isinstance(zone[0], str) else ""
    if not _IS_OFFSET.fullmatch(offset):
        return element
    return {**element, "Value": [_with_offset(value, offset) for value in element["Value"]]}


def _with_offset(value: object, offset: str) -> object:
    text = value.strip(PADDING) if isinstance(value, str) else ""
    found = _FORM.fullmatch(text)
    return text + offset if found and not found[3] else value


def bounds_of(text: str) -> str | Bounds | None:
    """Return the value of a query parameter as a single DT or as a range, None if it is neither.

    A hyphen and four digits directly after a date are an offset if they are between -1200 and -0001. So `2024-0500` is
    a single value. The rule misreads only ranges that end in a year before 1201. A hyphen after a space is never part
    of an offset. A `+` that is not escaped in a URL arrives as a space. A space between a date and four digits counts
    as `+` if the digits can be an offset.
    """
    text = _PLUS.sub("+", text.strip())
    if _SINGLE.fullmatch(text):
        return text
    found = _RANGE.fullmatch(text)  # the first group is greedy, so it contains an offset before the hyphen
    return Bounds(found[1] or "", found[2] or "") if found and any(found.groups()) else None


def without_offset(text: str) -> str:
    """Return a DT without its offset."""
    return re.sub(r"[+-]\d{4}$", "", text)


def _offset(text: str) -> timedelta:
    """Return the offset of a DT from UTC, zero if it has none that is valid."""
    found = _FORM.fullmatch(text.strip())
    if not found or not found[3] or not _IS_OFFSET.fullmatch(found[3]) or not text.isascii():
        return timedelta()
    span = timedelta(hours=int(found[3][1:3]), minutes=int(found[3][3:]))
    return -span if found[3][0] == "-" else span
