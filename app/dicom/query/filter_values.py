"""Reads the value of a query parameter into a condition: kinds of matching, dates, times, lists (conformance §5.4)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from app.dicom.encoding.uids import clean_uid
from app.dicom.query.canonical import NUMBERS, WILD, canonical, words
from app.dicom.query.matching import Between, Condition, NameGroups, OneOf, Period, Wildcard, Words
from app.dicom.query.moments import bounds_of, end_in_utc, in_utc, without_offset
from app.dicom.validation.attributes import Attribute
from app.errors import InvalidQuery, InvalidRequest

_MAX_CHARACTERS: Final = {"AE": 16, "CS": 16, "SH": 16, "LO": 64, "AS": 4}

_KINDS: Final = {
    "DA": ("Date", "yyyyMMdd"),
    "TM": ("Time", "HHmmss.FFFFFF where only HH is mandatory"),
    "DT": ("DateTime", "yyyyMMddHHmmss.FFFFFF where only yyyy is mandatory"),
}
"""VR -> what messages call a value and its format."""

_FORMATS: Final = {
    "DA": {8: "%Y%m%d"},
    "TM": {2: "%H", 4: "%H%M", 6: "%H%M%S"},
    "DT": {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"},
}
"""VR -> number of digits -> their format. A fraction may follow whole seconds."""

_DIGITS: Final = re.compile(r"(\d+)(\.\d{1,6})?", re.ASCII)


def condition(attribute: Attribute, name: str, value: str, *, fuzzy: bool) -> Condition | None:
    """Return the condition that a value states; None for universal matching: an empty value, or `*` alone.

    `name` is the attribute as the client wrote it, for messages. Raises `InvalidQuery`, `InvalidRequest`,
    `InvalidIdentifier`.
    """
    vr = attribute.vr
    if not value.strip(" *"):
        return None
    if vr == "UI":
        return OneOf(frozenset(clean_uid(uid, name) for uid in _split(value)))
    if vr in NUMBERS:
        number = canonical(vr, value)
        if not number:
            raise InvalidQuery(f"Invalid query: specified value '{value}' is not a number for attribute '{name}'.")
        return OneOf(frozenset((number,)))
    if vr == "DT":
        return _period(name, value)
    if vr in _FORMATS:
        return _between(vr, name, value)
    if vr == "PN":
        return _name(name, value, fuzzy=fuzzy)
    if vr in WILD and ("*" in value or "?" in value):
        _check_length(vr, name, value.replace("*", ""))
        return Wildcard(canonical(vr, value))
    # A code string holds no comma, and viewers ask for ModalitiesInStudy=CT,MR.
    values = [each for each in _split(value) if each] if vr == "CS" else [value]
    for each in values:
        _check_length(vr, name, each)
    return OneOf(frozenset(canonical(vr, each) for each in values))


def _split(value: str) -> list[str]:
    return [each.strip() for each in re.split(r"[,\\]", value)]


def _name(name: str, value: str, *, fuzzy: bool) -> Condition | None:
    """Return the condition of a person name. A value without `=` means the alphabetic group, or fuzzily any group."""
    if fuzzy and '"' in value:
        raise InvalidQuery(f"Invalid query: fuzzy value '{value}' of attribute '{name}' has a quotation mark.")
    if fuzzy and "=" not in value:
        return _words(value)
    group_of = _words if fuzzy else _group
    groups = tuple(group_of(group) for group in value.split("="))
    return NameGroups(groups) if any(groups) else None


def _words(value: str) -> Words | None:
    found = tuple(words(canonical("PN", value).replace("*", "")))
    return Words(found) if found else None


def _group(value: str) -> OneOf | Wildcard | None:
    """Return the condition of one component group, None if it has no text."""
    text = canonical("PN", value)
    if not text or not value.strip(" *"):
        return None
    return Wildcard(text) if "*" in value or "?" in value else OneOf(frozenset((text,)))


def _check_length(vr: str, name: str, value: str) -> None:
    if vr in _MAX_CHARACTERS and len(value.rstrip()) > _MAX_CHARACTERS[vr]:
        raise InvalidRequest(
            f"Dicom element '{name}' failed validation for VR '{vr}': Value length exceeds maximum length."
        )


# --- dates and times ----------------------------------------------------------------------------------------------


def _between(vr: str, name: str, value: str) -> Condition:
    """Return the condition of a DA or TM. A partial value means the start of its period, also in a range."""
    low, dash, high = (part.strip() for part in value.strip().partition("-"))
    if not dash:
        return OneOf(frozenset((canonical(vr, _checked(vr, name, low)),)))
    if not low and not high:
        raise _endless(vr, name, value)
    start = canonical(vr, _checked(vr, name, low)) if low else ""
    end = canonical(vr, _checked(vr, name, high)) if high else ""
    if start and end and start > end:
        raise _reversed(vr, name, value, low, high)
    return Between(start, end)


def _period(name: str, value: str) -> Condition:
    """Return the condition of a DT.

    A single value means the start of its period. A range begins with the start of its first period and ends with the
    end of its second.
    """
    found = bounds_of(value)
    if found is None:
        low, dash, high = (part.strip() for part in value.strip().partition("-"))
        if dash and not low and not high:
            raise _endless("DT", name, value)
        for part in filter(None, (low, high)):
            _checked("DT", name, part)
        raise _invalid("DT", name, value.strip())
    if isinstance(found, str):
        moment = in_utc(_checked("DT", name, found)) or ""
        return Period(moment, moment)
    low, high = found
    start = (in_utc(_checked("DT", name, low)) or "") if low else ""
    end = end_in_utc(_checked("DT", name, high)) if high else ""
    if start and end and start > end:
        raise _reversed("DT", name, value, low, high)
    return Period(start, end)


def _checked(vr: str, name: str, text: str) -> str:
    """Return a date or time that exists and has the format of its VR. Raises `InvalidQuery` for other text."""
    found = _DIGITS.fullmatch(without_offset(text) if vr == "DT" else text)
    digits, fraction = found.groups() if found else ("", None)
    formats = _FORMATS[vr]
    if len(digits) not in formats or (fraction and (vr == "DA" or len(digits) != max(formats))):
        raise _invalid(vr, name, text)
    try:
        datetime.strptime(digits, formats[len(digits)])  # raises for a date or time that does not exist
    except ValueError:
        raise _invalid(vr, name, text) from None
    return text


def _invalid(vr: str, name: str, text: str) -> InvalidQuery:
    kind, shape = _KINDS[vr]
    return InvalidQuery(
        f"Invalid query: specified {kind} value '{text}' is invalid for attribute '{name}'. "
        f"{kind} should be valid and formatted as {shape}."
    )


def _endless(vr: str, name: str, value: str) -> InvalidQuery:
    kind, shape = _KINDS[vr]
    return InvalidQuery(
        f"Invalid query: specified {kind} range value '{value}' is invalid for attribute '{name}'. "
        f"At least one end must be given, formatted as {shape}."
    )


def _reversed(vr: str, name: str, value: str, low: str, high: str) -> InvalidQuery:
    kind, _ = _KINDS[vr]
    return InvalidQuery(
        f"Invalid query: specified {kind} range value '{value}' is invalid for attribute '{name}'. "
        f"The first part {kind} {low} should be lesser than or equal to the second part {kind} {high}."
    )
