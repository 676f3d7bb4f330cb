"""Query parameters in, `Query` out: every rule and every message of spec/04."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from app.dicom.attributes import (
    ALL_FIELDS,
    CORE,
    STUDY_UID,
    Attribute,
    Level,
    path_of,
    tag_of,
    vr_of,
)
from app.dicom.query import NUMBERS, RANGES, WILD, Between, Condition, Filter, OneOf, Query, Wildcard, Words, canonical
from app.dicom.query import words as words_of
from app.dicom.uids import clean_uid
from app.errors import InvalidParameter, InvalidQuery, InvalidRequest

OPTIONS: Final = frozenset({"limit", "offset", "fuzzymatching", "includefield"})
"""Parameters that are no attributes, in lower case."""

MAX_LIMIT: Final = 200
DEFAULT_LIMIT: Final = 100
MAX_OFFSET: Final = 2**31 - 1

_CASING = (
    "If the parameter is an attribute keyword, check the casing as they are case-sensitive. "
    "The conformance statement has a list of supported query parameters, attributes and the levels."
)

_MAX_CHARACTERS: Final = {"AE": 16, "CS": 16, "SH": 16, "LO": 64, "AS": 4}

_FORMATS: Final = {
    "DA": ("Date", "yyyyMMdd"),
    "TM": ("Time", "HHmmss.FFFFFF where only HH is mandatory"),
    "DT": ("DateTime", "yyyyMMddHHmmss.FFFFFF where only yyyy is mandatory"),
}
_DATE_FORMATS: Final = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_TIME_FORMATS: Final = {2: "%H", 4: "%H%M", 6: "%H%M%S"}
_FRACTION = re.compile(r"(\d+)(\.\d{1,6})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What may be filtered on: the core attributes and the extended query tags that are ready."""

    attributes: Mapping[str, Attribute] = field(default_factory=lambda: CORE)
    disabled: frozenset[str] = frozenset()
    """Tags whose query status is disabled (spec/07)."""
    sequences: bool = False
    """Attributes within sequences may be named, `A.B` (spec/06)."""


def parse_query(
    level: Level,
    study: str | None,
    series: str | None,
    parameters: Iterable[tuple[str, str]],
    catalogue: Catalogue,
) -> Query:
    """Return the query that these decoded query pairs ask for.

    `study` and `series` are the UIDs of the URL, already checked. Raises `InvalidQuery` or `InvalidParameter` with the
    texts of spec/04.
    """
    options: dict[str, str] = {}
    include: list[str] = []
    wanted: dict[str, tuple[str, str]] = {}  # tag -> (name as typed, value)
    for name, value in parameters:
        option = name.lower()
        if option == "includefield":
            include += [part.strip() for part in value.split(",")]
        elif option in OPTIONS:
            if option in options:
                raise InvalidQuery(_duplicate(name))
            options[option] = value
        else:
            _want(wanted, name, value, catalogue)
    fuzzy = _fuzzy(options.get("fuzzymatching"))
    scope = _Scope(level, study, series, catalogue, fuzzy)
    conditions = [(tag, name, scope.condition(tag, name, value)) for tag, (name, value) in wanted.items()]
    fields, everything = _included(include)
    return Query(
        level=level,
        study=study,
        series=series,
        filters=tuple(
            Filter(catalogue.attributes[tag], condition, name) for tag, name, condition in conditions if condition
        ),
        universal=tuple(tag for tag, _, condition in conditions if condition is None),
        include=fields,
        include_all=everything,
        limit=_whole("Limit", options.get("limit"), DEFAULT_LIMIT, 1, MAX_LIMIT),
        offset=_whole("Offset", options.get("offset"), 0, 0, MAX_OFFSET),
    )


def _duplicate(name: str) -> str:
    return (
        f"Invalid QIDO-RS query. Duplicate AttributeId '{name}'. Each attribute is only allowed to be specified once."
    )


def _want(wanted: dict[str, tuple[str, str]], name: str, value: str, catalogue: Catalogue) -> None:
    tag = path_of(name) or (name.upper() if name.upper() in catalogue.attributes else None)
    if not catalogue.sequences and ("." in name or (tag and vr_of(tag) == "SQ")):
        raise InvalidQuery(
            f"Dicom element '{name}' failed validation for VR 'SQ': Sequential dicom tags are currently not supported."
        )
    if tag is None:
        raise InvalidQuery(f"Invalid query: unknown query parameter '{name}'. {_CASING}")
    if tag in wanted:
        if wanted[tag][0] == name:
            raise InvalidQuery(_duplicate(name))
        raise InvalidQuery(
            f"Invalid query: attribute '{name}' has been specified more than once using different ID formats. "
            "Each attribute is only allowed to be specified once."
        )
    wanted[tag] = (name, value)


def _whole(name: str, text: str | None, default: int, low: int, high: int) -> int:
    if text is None:
        return default
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()) or not low <= int(text) <= high:
        raise InvalidParameter(name, f"The field {name} must be between {low} and {high}.")
    return int(text)


def _fuzzy(text: str | None) -> bool:
    if text is None:
        return False
    if text.strip().lower() not in ("true", "false"):
        raise InvalidParameter("FuzzyMatching", f"The value '{text}' is not 'true' or 'false'.")
    return text.strip().lower() == "true"


def _included(names: list[str]) -> tuple[frozenset[str], bool]:
    tags = set()
    everything = False
    for name in names:
        if name.lower() == "all":
            everything = True
            continue
        tag = tag_of(name)
        if tag is None:
            raise InvalidQuery(f"Invalid query: IncludeField has unknown attribute '{name}'.")
        tags.add(tag)
    if everything:
        tags.update(*ALL_FIELDS.values())
    return frozenset(tags), everything


# --- one filter ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scope:
    """Which attributes this route may filter on, and how."""

    level: Level
    study: str | None
    series: str | None
    catalogue: Catalogue
    fuzzy: bool

    def condition(self, tag: str, name: str, value: str) -> Condition | None:
        """Return what the value must satisfy, None for universal matching (`*`)."""
        attribute = self.catalogue.attributes.get(tag)
        if attribute is None or not self._allows(attribute):
            raise InvalidQuery(f"Invalid query: AttributeId {name} is not queryable.  {_CASING}")
        if tag in self.catalogue.disabled:
            raise InvalidQuery(f"Query is disabled on specified attribute '{name}'.")
        value = value.rstrip("\x00")
        if not value.strip():
            raise InvalidQuery(f"Invalid query: AttributeId '{name}' has empty string value that is not supported.")
        return _condition(attribute, name, value, self.fuzzy)

    def _allows(self, attribute: Attribute) -> bool:
        """A level above the result is open unless the URL names it; StudyInstanceUID may be repeated anywhere."""
        if attribute.tag == STUDY_UID:
            return True
        above = Level.INSTANCE if self.series else Level.SERIES if self.study else Level.STUDY
        return above <= attribute.level <= self.level


def _condition(attribute: Attribute, name: str, value: str, fuzzy: bool) -> Condition | None:
    vr = attribute.vr
    if vr == "UI":
        return OneOf(frozenset(clean_uid(uid, name) for uid in re.split(r"[,\\]", value)))
    if vr in NUMBERS:
        number = canonical(vr, value)
        if not number:
            raise InvalidQuery(f"Invalid query: specified value '{value}' is not a number for attribute '{name}'.")
        return OneOf(frozenset((number,)))
    if vr in RANGES:
        return _between(vr, name, value)
    if value == "*":
        return None
    if vr == "PN" and fuzzy:
        found = tuple(words_of(canonical("PN", value).replace("*", "")))
        return Words(found) if found else None
    if vr in _MAX_CHARACTERS and len(value.rstrip()) > _MAX_CHARACTERS[vr]:
        raise InvalidRequest(
            f"Dicom element '{name}' failed validation for VR '{vr}': Value length exceeds maximum length."
        )
    text = canonical(vr, value)
    if vr in WILD and ("*" in text or "?" in text):
        return Wildcard(text)
    return OneOf(frozenset((text,)))


def _between(vr: str, name: str, value: str) -> Condition:
    kind, shape = _FORMATS[vr]
    text = value.strip()
    low, dash, high = text.partition("-")
    low, high = low.strip(), high.strip()
    if not dash:
        return OneOf(frozenset((_moment(vr, name, low),)))
    if not low and not high:
        raise InvalidQuery(
            f"Invalid query: specified {kind} range value '{value}' is invalid for attribute '{name}'. "
            f"At least one end must be given, formatted as {shape}."
        )
    bounds = Between(_moment(vr, name, low) if low else "", _moment(vr, name, high) if high else "")
    if bounds.low and bounds.high and bounds.low > bounds.high:
        raise InvalidQuery(
            f"Invalid query: specified {kind} range value '{value}' is invalid for attribute '{name}'. "
            f"The first part {kind} {low} should be lesser than or equal to the second part {kind} {high}."
        )
    return bounds


def _moment(vr: str, name: str, text: str) -> str:
    """Return the canonical form of a date or time; a partial one means the start of its period."""
    found = _FRACTION.fullmatch(text)
    digits, fraction = found.groups() if found else ("", None)
    formats = {"DA": {8: "%Y%m%d"}, "TM": _TIME_FORMATS, "DT": _DATE_FORMATS}[vr]
    whole = max(formats)
    try:
        if (vr == "DA" and fraction) or (fraction and len(digits) != whole):
            raise ValueError(text)
        datetime.strptime(digits, formats[len(digits)])
    except (KeyError, ValueError):
        kind, shape = _FORMATS[vr]
        raise InvalidQuery(
            f"Invalid query: specified {kind} value '{text}' is invalid for attribute '{name}'. "
            f"{kind} should be valid and formatted as {shape}."
        ) from None
    return canonical(vr, text)
