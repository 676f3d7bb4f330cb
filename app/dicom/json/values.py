"""One raw value to its entry in the DICOM JSON model, and what in it breaks its VR (PS3.18 §F.2, conformance §1.6, conformance §3.6)."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from app.dicom.encoding.charsets import Charset
from app.dicom.json.dataset import JsonElement
from app.dicom.validation.vr_rules import fault_message, vr_fault

Values = list[Any]

NAME_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


class Converted(NamedTuple):
    """An entry of the JSON model, how many values it holds, and the first fault in it."""

    entry: JsonElement
    number_of_values: int
    fault: str | None


def convert(vr: str, raw: bytes, text: Charset, little: bool) -> Converted:
    """The entry of a loaded value; never fails. An empty value gives an entry without `Value`.

    `text` decodes the VRs that Specific Character Set governs; `little` is the byte order of numbers.
    """
    values, reason = _READERS[vr](vr, raw, text, little) if raw else ([], None)
    if not values:
        return Converted({"vr": vr}, 0, reason)
    return Converted({"vr": vr, "Value": values}, len(values), reason)


recurring = lru_cache(maxsize=8192)(convert)
"""`convert` for short values, which mostly recur in the next instance of a series. Entries are shared: read only."""


def number(text: str) -> int | float | str:
    """A DS or IS value as a JSON number; the text itself when it is none, or none that JSON can hold."""
    digits = text.strip(" \0")
    if _INTEGER.fullmatch(digits):
        whole = int(digits)
        return whole if -(2**63) <= whole < 2**64 else text
    if _DECIMAL.fullmatch(digits):
        real = float(digits)
        return real if math.isfinite(real) else text
    return text


def _strings(vr: str, text: str, form: Callable[[str], Any] = str) -> tuple[Values, str | None]:
    """Values of a backslash separated text, null for empty ones, and the first fault."""
    values: Values = []
    reason = None
    for part in text.split("\\"):
        part = part.rstrip(" ")
        values.append(form(part) if part else None)
        if reason is None:
            reason = vr_fault(vr, part.rstrip("\0"))
    return ([] if values == [None] else values), reason


def _encoded(vr: str, raw: bytes, text: Charset, _little: bool) -> tuple[Values, str | None]:
    return _strings(vr, text.decode(raw, vr))


def _plain(vr: str, raw: bytes, _text: Charset, _little: bool) -> tuple[Values, str | None]:
    return _strings(vr, raw.decode("latin-1"))


def _title(vr: str, raw: bytes, _text: Charset, _little: bool) -> tuple[Values, str | None]:
    return _strings(vr, raw.decode("latin-1"), str.strip)


def _numeric(vr: str, raw: bytes, _text: Charset, _little: bool) -> tuple[Values, str | None]:
    return _strings(vr, raw.decode("latin-1"), number)


def _integral(vr: str, raw: bytes, _text: Charset, _little: bool) -> tuple[Values, str | None]:
    return _strings(vr, raw.decode("latin-1"), _whole)


def _whole(text: str) -> int | str:
    value = number(text)
    return value if isinstance(value, int) else text


def _uids(vr: str, raw: bytes, _text: Charset, _little: bool) -> tuple[Values, str | None]:
    return _strings(vr, raw.decode("latin-1"), _uid)


def _uid(text: str) -> str | None:
    return text.strip(" \0") or None


def _names(vr: str, raw: bytes, text: Charset, _little: bool) -> tuple[Values, str | None]:
    return _strings(vr, text.decode(raw, vr), _name)


def _name(text: str) -> dict[str, str] | None:
    groups = {group: part for group, part in zip(NAME_GROUPS, text.split("="), strict=False) if part}
    return groups or None


def _paragraph(vr: str, raw: bytes, text: Charset, _little: bool) -> tuple[Values, str | None]:
    value = text.decode(raw, vr).rstrip(" ")
    return ([value] if value else []), vr_fault(vr, value.rstrip("\0"))


def _locator(vr: str, raw: bytes, _text: Charset, _little: bool) -> tuple[Values, str | None]:
    value = raw.decode("latin-1").rstrip(" ")
    return ([value] if value else []), vr_fault(vr, value.rstrip("\0"))


def _tags(vr: str, raw: bytes, _text: Charset, little: bool) -> tuple[Values, str | None]:
    words, reason = _words(vr, raw, "H", 4, little)
    return [f"{group:04X}{element:04X}" for group, element in zip(words[::2], words[1::2], strict=True)], reason


def _words(vr: str, raw: bytes, code: str, size: int, little: bool) -> tuple[Values, str | None]:
    """Binary numbers of a value whose unit is `size` bytes; a rest that is no whole unit is a fault."""
    whole = len(raw) - len(raw) % size
    words = struct.unpack(f"{'<' if little else '>'}{whole // struct.calcsize(code)}{code}", raw[:whole])
    reason = None if whole == len(raw) else fault_message(vr, "", f"value length is not a multiple of {size} bytes")
    return list(words), reason


def _binary(code: str) -> Callable[[str, bytes, Charset, bool], tuple[Values, str | None]]:
    size = struct.calcsize(code)

    def read(vr: str, raw: bytes, _text: Charset, little: bool) -> tuple[Values, str | None]:
        return _words(vr, raw, code, size, little)

    return read


def _floating(code: str) -> Callable[[str, bytes, Charset, bool], tuple[Values, str | None]]:
    size = struct.calcsize(code)

    def read(vr: str, raw: bytes, _text: Charset, little: bool) -> tuple[Values, str | None]:
        values, reason = _words(vr, raw, code, size, little)
        return [value if math.isfinite(value) else _unbounded(value) for value in values], reason

    return read


def _unbounded(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


_READERS: Final[dict[str, Callable[[str, bytes, Charset, bool], tuple[Values, str | None]]]] = {
    **dict.fromkeys(("LO", "SH", "UC"), _encoded),
    **dict.fromkeys(("AS", "CS", "DA", "DT", "TM"), _plain),
    **dict.fromkeys(("LT", "ST", "UT"), _paragraph),
    "AE": _title,
    "AT": _tags,
    "DS": _numeric,
    "FD": _floating("d"),
    "FL": _floating("f"),
    "IS": _integral,
    "PN": _names,
    "SL": _binary("i"),
    "SS": _binary("h"),
    "SV": _binary("q"),
    "UI": _uids,
    "UL": _binary("I"),
    "UR": _locator,
    "US": _binary("H"),
    "UV": _binary("Q"),
}
