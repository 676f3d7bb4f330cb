"""One value of a query parameter to what it asks for: matching kinds, dates and times, lists (conformance §5.4 "Matching")."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from app.dicom.encoding.uids import clean_uid
from app.dicom.query.matching import NUMBERS, RANGES, WILD, Between, Condition, OneOf, Wildcard, Words, canonical
from app.dicom.query.matching import words as words_of
from app.dicom.validation.attributes import Attribute
from app.errors import InvalidQuery, InvalidRequest

_MAX_CHARACTERS: Final = {"AE": 16, "CS": 16, "SH": 16, "LO": 64, "AS": 4}

_FORMATS: Final = {
    "DA": ("Date", "yyyyMMdd"),
    "TM": ("Time", "HHmmss.FFFFFF where only HH is mandatory"),
    "DT": ("DateTime", "yyyyMMddHHmmss.FFFFFF where only yyyy is mandatory"),
}
_DATE_FORMATS: Final = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_TIME_FORMATS: Final = {2: "%H", 4: "%H%M", 6: "%H%M%S"}
_FRACTION = re.compile(r"(\d+)(\.\d{1,6})?", re.ASCII)


def condition(attribute: Attribute, name: str, value: str, *, fuzzy: bool) -> Condition | None:
    """Return what a value, not empty, must satisfy; None for universal matching (`*`). `name` is for messages."""
    vr = attribute.vr
    if vr == "UI":
        return OneOf(frozenset(clean_uid(uid, name) for uid in _split(value)))
    if vr in NUMBERS:
        number = canonical(vr, value)
        if not number:
            raise InvalidQuery(f"Invalid query: specified value '{value}' is not a number for attribute '{name}'.")
        return OneOf(frozenset((number,)))
    if vr in RANGES:
        return _between(vr, name, value)
    if not value.strip(" *"):
        return None
    if vr == "PN" and fuzzy:
        found = tuple(words_of(canonical("PN", value).replace("*", "")))
        return Words(found) if found else None
    if vr in WILD and ("*" in value or "?" in value):
        _check_length(vr, name, value.replace("*", ""))
        return Wildcard(canonical(vr, value))
    # A code string holds no comma, and viewers ask for ModalitiesInStudy=CT,MR.
    values = [each for each in _split(value) if each.strip()] if vr == "CS" else [value]
    for each in values:
        _check_length(vr, name, each)
    return OneOf(frozenset(canonical(vr, each) for each in values))


def _split(value: str) -> list[str]:
    return re.split(r"[,\\]", value)


def _check_length(vr: str, name: str, value: str) -> None:
    if vr in _MAX_CHARACTERS and len(value.rstrip()) > _MAX_CHARACTERS[vr]:
        raise InvalidRequest(
            f"Dicom element '{name}' failed validation for VR '{vr}': Value length exceeds maximum length."
        )


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
