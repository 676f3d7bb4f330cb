"""Values of attributes as people read them: names, dates, codes, numbers."""

from __future__ import annotations

import math
import re
from typing import Final

from app.dicom.encoding.attribute_reader import AttributeReader

CODE_VALUE: Final = 0x00080100
LONG_CODE_VALUE: Final = 0x00080119
URN_CODE_VALUE: Final = 0x00080120
CODING_SCHEME: Final = 0x00080102
CODE_MEANING: Final = 0x00080104

_DATE: Final = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})", re.ASCII)
_TIME: Final = re.compile(r"(\d{2}):?(\d{2})(?::?(\d{2})(\.\d{1,6})?)?", re.ASCII)
_DATE_TIME: Final = re.compile(r"(\d{8})(\d{2,6}(?:\.\d{1,6})?)?([+-]\d{4})?", re.ASCII)


def person(value: str) -> str:
    """Return a person name: family name first, its groups separated by a middle dot (PS3.5 §6.2.1)."""
    return " · ".join(filter(None, map(_name_group, value.split("=")[:3])))


def _name_group(group: str) -> str:
    family, given, middle, prefix, suffix = (part.strip() for part in (group.split("^") + [""] * 5)[:5])
    forenames = " ".join(filter(None, (prefix, given, middle)))
    return ", ".join(filter(None, (family, forenames, suffix)))


def date(value: str) -> str:
    """Return a DA as 2024-01-31. Text that is no DA stays as it is."""
    found = _DATE.fullmatch(value)
    return "-".join(found.groups()) if found else value


def time(value: str) -> str:
    """Return a TM as 18:47:46. Text that is no TM stays as it is."""
    found = _TIME.fullmatch(value)
    if not found:
        return value
    hour, minute, second, fraction = found.groups()
    return f"{hour}:{minute}" + (f":{second}{fraction or ''}" if second else "")


def date_time(value: str) -> str:
    """Return a DT as 2024-01-31 18:47:46 +0100. Text that is no DT stays as it is."""
    found = _DATE_TIME.fullmatch(value)
    if not found:
        return value
    day, clock, zone = found.groups()
    return " ".join(filter(None, (date(day), time(clock) if clock else "", zone)))


def code(item: AttributeReader | None) -> str:
    """Return the meaning of a code, its value if it has no meaning, "" for no item (PS3.3 Table 8.8-1)."""
    return item.text(CODE_MEANING) or code_value(item) if item else ""


def code_value(item: AttributeReader) -> str:
    """Return the value of a code, from the attribute that has it."""
    return next(filter(None, map(item.text, (CODE_VALUE, LONG_CODE_VALUE, URN_CODE_VALUE))), "")


def code_source(item: AttributeReader) -> str:
    """Return value and coding scheme of a code, such as `121071, DCM`."""
    return ", ".join(filter(None, (code_value(item), item.text(CODING_SCHEME))))


def number(value: float) -> str:
    """Return a number in at most nine digits, without a fraction of zeros."""
    if not math.isfinite(value):
        return "not a number"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.9g}"


def numbers(attributes: AttributeReader, tag: int, limit: int) -> str:
    """Return the first numbers of a value, and how many there are if that is not all."""
    found = attributes.numbers(tag)
    shown = ", ".join(map(number, found[:limit]))
    return shown if len(found) <= limit else f"{shown}, … ({len(found)} numbers)"
