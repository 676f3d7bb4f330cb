"""The search box of a partition's studies: the fields of the form as a QIDO search (conformance §5.2, §15.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, NamedTuple, Self

from app.errors import InvalidRequest

PAGE_SIZE: Final = 25
_LARGEST_OFFSET: Final = 2**31 - 1
_NAMES: Final = ("PatientName", "ReferringPhysicianName")
_MODALITIES: Final = "ModalitiesInStudy"
_PATIENT_DATE: Final = "PatientBirthDate"
_DESCRIPTION: Final = "StudyDescription"
FIELDS: Final = (
    *_NAMES,
    "PatientID",
    "AccessionNumber",
    _MODALITIES,
    _DESCRIPTION,
    _PATIENT_DATE,
    "StudyID",
    "StudyInstanceUID",
)
"""The fields that are named like the attribute that they search."""
_RARE_FIELDS: Final = frozenset((_DESCRIPTION, "ReferringPhysicianName", _PATIENT_DATE, "StudyID", "StudyInstanceUID"))
_INCLUDED: Final = "NumberOfStudyRelatedInstances"
_DATE: Final = re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})", re.ASCII)


class Period(NamedTuple):
    """A choice of study dates. It begins and ends so many days before today; None: at the first day of the year."""

    label: str
    begin: int | None
    end: int = 0


PERIODS: Final[Mapping[str, Period]] = {
    "today": Period("Today", 0),
    "yesterday": Period("Yesterday", 1, 1),
    "week": Period("7 days", 6),
    "month": Period("30 days", 29),
    "year": Period("This year", None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySearch:
    """What the URL of the page says. `fields` has those of `FIELDS` that are not empty.

    `offset` is the number of studies before the page. With a `cursor` it only counts, and the page begins there.
    """

    fields: Mapping[str, str]
    period: str
    first_day: str
    last_day: str
    offset: int
    cursor: str

    @classmethod
    def of(cls, arguments: Mapping[str, str]) -> Self:
        """Return the search of query parameters. Unknown ones are ignored."""
        given = {name: value.strip() for name, value in arguments.items()}
        first_day, last_day = given.get("from", ""), given.get("to", "")
        period = given.get("period", "")
        return cls(
            fields={name: given[name] for name in FIELDS if given.get(name)},
            period=period if period in PERIODS and not (first_day or last_day) else "",
            first_day=first_day,
            last_day=last_day,
            offset=offset_of(arguments),
            cursor=given.get("cursor", ""),
        )

    @property
    def has_rare_fields(self) -> bool:
        """Whether the search uses a field that the page shows only on demand."""
        return not _RARE_FIELDS.isdisjoint(self.fields)

    @property
    def is_filtered(self) -> bool:
        """Whether the search has a filter."""
        return bool(self.fields or self.period or self.first_day or self.last_day)

    def query(self, *, offset: int = 0, cursor: str = "", period: str | None = None) -> dict[str, object]:
        """Return the query parameters of the page with this search, from another match on or in another period."""
        dates = {"period": self.period, "from": self.first_day, "to": self.last_day}
        if period is not None:
            dates = {"period": period}
        dates = {name: value for name, value in dates.items() if value}
        return {**self.fields, **dates, "offset": offset or "", **({"cursor": cursor} if cursor else {})}

    def parameters(self, today: date) -> list[tuple[str, str]]:
        """Return the parameters of the search. Raises `InvalidRequest` for a date that is none.

        Names without a wildcard are searched by the beginnings of their words. If one name has a wildcard, the other is
        searched by its beginning. The description is searched by its beginning too, unless it has a wildcard.
        """
        fields = dict(self.fields)
        names = [name for name in _NAMES if name in fields]
        fuzzy = bool(names) and not any(_has_wildcard(fields[name]) for name in names)
        for name in names if fuzzy else ():
            fields[name] = fields[name].replace(",", " ")  # pages write names as `Family, Given`
        for name in (*(() if fuzzy else names), _DESCRIPTION):
            if name in fields and not _has_wildcard(fields[name]):
                fields[name] += "*"
        if _MODALITIES in fields:
            fields[_MODALITIES] = fields[_MODALITIES].upper()
        if _PATIENT_DATE in fields:
            fields[_PATIENT_DATE] = day_of(fields[_PATIENT_DATE])
        if dates := self._dates(today):
            fields["StudyDate"] = dates
        page = [("includefield", _INCLUDED), ("limit", str(PAGE_SIZE))]
        page.append(("cursor", self.cursor) if self.cursor else ("offset", str(self.offset)))
        return [*fields.items(), *([("fuzzymatching", "true")] if fuzzy else []), *page]

    def _dates(self, today: date) -> str:
        """Return the range of study dates as QIDO writes it, an empty text for all dates."""
        if self.period:
            period = PERIODS[self.period]
            begin = date(today.year, 1, 1) if period.begin is None else today - timedelta(period.begin)
            return f"{begin:%Y%m%d}-{today - timedelta(period.end):%Y%m%d}"
        first, last = (day_of(day) if day else "" for day in (self.first_day, self.last_day))
        if first and last and first > last:
            raise InvalidRequest(f"The first day {self.first_day} is after the last day {self.last_day}.")
        return f"{first}-{last}" if first or last else ""


def offset_of(arguments: Mapping[str, str]) -> int:
    """Return how many objects a page skips, 0 if the query parameter is no number."""
    text = arguments.get("offset", "")
    return min(int(text), _LARGEST_OFFSET) if re.fullmatch("[0-9]{1,12}", text, re.ASCII) else 0


def _has_wildcard(text: str) -> bool:
    return "*" in text or "?" in text


def day_of(text: str) -> str:
    """Return a date of a form as DICOM writes it. Raises `InvalidRequest`."""
    found = _DATE.fullmatch(text)
    try:
        return f"{date(*map(int, found.groups())):%Y%m%d}" if found else _refuse(text)
    except ValueError:
        return _refuse(text)


def _refuse(text: str) -> str:
    raise InvalidRequest(f"'{text[:64]}' is not a date. Write it as 2024-01-31.")
