"""Checks a value against its VR (PS3.5 §6.2), with the texts that responses of a v2 store have (conformance §3.6).

Values are decoded and have no trailing spaces and NULs. Each VR has a pattern that matches valid values, so a valid
dataset costs one match for each value. A function finds the first rule that another value breaks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Final

CONTROL: Final = r"\x00-\x1f\x7f-\x9f"
CONTROL_BUT_ESC: Final = r"\x00-\x1a\x1c-\x1f\x7f-\x9f"
CONTENT_LIMIT: Final = 256
"""The number of characters of an invalid value that a message repeats."""

_DAY: Final = r"(?:0[1-9]|1\d|2[0-8])"  # the days that every month has
_DATE: Final = rf"(?!0000)\d{{4}}(?:(?:0[1-9]|1[0-2]){_DAY}|(?:0[13-9]|1[0-2])(?:29|30)|(?:0[13578]|1[02])31)"
_TIME: Final = r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?"
_ZONE: Final = r"(?:\+(?:0\d|1[0-4])[0-5]\d|-(?!0000)(?:0\d|1[0-2])[0-5]\d)"


def vr_fault(vr: str, value: str) -> str | None:
    """Return the message for the first rule that a value breaks, None if it breaks no rule.

    `Content "2O240101" does not validate VR DA: one of the date values does not match the pattern YYYYMMDD`
    """
    rule = _RULES.get(vr)
    if rule is None:
        return fault_message(vr, value, "value contains invalid character") if "\0" in value else None
    good, explain = rule
    if not value or good.fullmatch(value):
        return None
    reason = explain(value)
    return fault_message(vr, value, reason) if reason else None


def fault_message(vr: str, value: str, reason: str) -> str:
    """Return the message for a broken rule. Long values are shortened."""
    content = value if len(value) <= CONTENT_LIMIT else value[:CONTENT_LIMIT] + "…"
    return f'Content "{content}" does not validate VR {vr}: {reason}'


def _too_long(limit: int, otherwise: str) -> Callable[[str], str]:
    return lambda value: f"value exceeds maximum length of {limit} characters" if len(value) > limit else otherwise


def _date(value: str) -> str | None:
    if not re.fullmatch(r"\d{8}", value, re.ASCII):
        return "one of the date values does not match the pattern YYYYMMDD"
    if int(value[4:6]) > 12:
        return "month component exceeds the value 12"
    if int(value[6:]) > 31:
        return "day component exceeds the value 31"
    return None if is_date(value) else "the date does not exist"


def is_date(value: str) -> bool:
    """Return whether `value` is a day of the Gregorian calendar, written YYYYMMDD."""
    if not re.fullmatch(r"\d{8}", value, re.ASCII):
        return False
    try:
        date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        return False
    return True


def _time(value: str) -> str:
    if not re.fullmatch(r"\d{2}|\d{4}|\d{6}(\.\d{1,6})?", value, re.ASCII):
        return "value does not mach pattern HH or HHMM or HHMMSS or HHMMSS.F{1-6}"
    if int(value[:2]) > 23:
        return "hour component exceeds 23"
    return "minutes component exceeds 59" if int(value[2:4]) > 59 else "seconds component exceeds 60"


_MOMENT_PARTS: Final = (
    (12, "seconds", 0, 60), (10, "minutes", 0, 59), (8, "hours", 0, 23), (6, "day", 1, 31), (4, "month", 1, 12),
)  # fmt: skip


def _moment(value: str) -> str | None:
    if "-0000" in value:
        return "negative UTC hours component with value -0000 is not allowed"
    moment = re.split("[+-]", value, maxsplit=1)[0]
    zone = value[len(moment) :]
    if zone and not re.fullmatch(_ZONE, zone, re.ASCII):
        return "value does not match the UTC pattern &ZZXX"
    if not re.fullmatch(r"\d{4}(\d{2}){0,4}|\d{14}(\.\d{1,6})?", moment, re.ASCII):
        return "value does not mach pattern YYYY[MM[DD[HH[MM[SS[.F{1-6}]]]]]]"
    for start, part, lowest, highest in _MOMENT_PARTS:
        number = moment[start : start + 2]
        if number and int(number) > highest:
            return f"{part} component exceeds {highest}"
        if number and int(number) < lowest:
            return f"{part} component cannot be 0"
    return None if len(moment) < 8 or is_date(moment[:8]) else "the date does not exist"


def _integer(value: str) -> str | None:
    if not re.fullmatch(r" *[+-]?\d+ *", value, re.ASCII):
        return "value is not an integer string"
    digits = value.strip(" +-").lstrip("0")
    fits = len(digits) <= 10 and -(2**31) <= int(value) < 2**31
    return None if fits else "value too large to fit 32 bit integer"


def _name(value: str) -> str:
    groups = value.split("=")
    if len(groups) > 3:
        return "value contains too many groups"
    if any(len(group) > 64 for group in groups):
        return "value exceeds maximum length of 64 characters"
    if re.search(f"[{CONTROL_BUT_ESC}]", value):
        return "value contains invalid control character"
    return "value contains too many components"


def _uid(value: str) -> str | None:
    if len(value) > 64:
        return "value exceeds maximum length of 64 characters"
    if re.search(r"[^0-9.]", value):
        return "value contains invalid characters other than '0'-'9' and '.'"
    if value.startswith("0") or re.search(r"\.0\d", value):
        return "components must not have leading zeros"
    return "a component can not be empty"


_NAME_GROUP: Final = rf"[^{CONTROL_BUT_ESC}\\^=]*(?:\^[^{CONTROL_BUT_ESC}\\^=]*){{0,4}}"
_INVALID: Final = "value contains invalid character"
_PATTERNS: Final[dict[str, tuple[str, Callable[[str], str | None]]]] = {
    "AE": (rf"[^{CONTROL}\\]{{1,16}}", _too_long(16, "value contains invalid control character")),
    "AS": (r"\d{3}[DWMY]", lambda _: "value does not have pattern 000[DWMY]"),
    "CS": (
        r"[A-Z0-9_ ]{1,16}",
        # Clients compare this text with its spelling mistake.
        _too_long(16, f"{_INVALID}. Only uppercase character, digits, space and underscore alre allowed"),
    ),
    "DA": (_DATE, _date),
    "DS": (
        r"(?=.{1,16}$) *[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)? *",
        _too_long(16, "value is no decimal string"),
    ),
    "DT": (rf"(?:\d{{4}}(?:0[1-9]|1[0-2])?|{_DATE}(?:{_TIME})?){_ZONE}?", _moment),
    "IS": (r" *[+-]?\d{1,9} *", _integer),
    "LO": (rf"[^{CONTROL_BUT_ESC}\\]{{1,64}}", _too_long(64, _INVALID)),
    "LT": (r"[^\x00]{1,10240}", _too_long(10240, _INVALID)),
    "PN": (rf"(?=[^=]{{0,64}}(?:=[^=]{{0,64}}){{0,2}}$){_NAME_GROUP}(?:={_NAME_GROUP}){{0,2}}", _name),
    "SH": (rf"[^{CONTROL_BUT_ESC}\\]{{1,16}}", _too_long(16, _INVALID)),
    "ST": (r"[^\x00]{1,1024}", _too_long(1024, _INVALID)),
    "TM": (_TIME, _time),
    "UI": (r"(?=.{1,64}$)[1-9]\d*(?:\.(?:0|[1-9]\d*))*", _uid),
}
_RULES: Final = {vr: (re.compile(good, re.ASCII), explain) for vr, (good, explain) in _PATTERNS.items()}
