"""Converts raw values to DICOM JSON elements and finds the rule of its VR that a value breaks (PS3.18 §F.2)."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from app.dicom.encoding.charsets import Charset
from app.dicom.json.dataset import NAME_GROUPS, JsonElement
from app.dicom.validation.vr_rules import fault_message, vr_fault

_Values = tuple[list[Any], str | None]
"""The values of an element, and the message for the first one that breaks its VR."""


_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


class Converted(NamedTuple):
    """An element of the JSON model, its number of values, and the message for the first value that breaks its VR."""

    element: JsonElement
    number_of_values: int
    fault: str | None


def convert(vr: str, raw: bytes, text: Charset, little: bool) -> Converted:
    """Return the element of a loaded value. Never fails. An empty value gives an element without `Value`.

    `text` decodes the VRs that Specific Character Set applies to. `little` is the byte order of numbers.
    """
    values, reason = _READERS[vr](vr, raw, text, little) if raw else ([], None)
    if not values:
        return Converted({"vr": vr}, 0, reason)
    return Converted({"vr": vr, "Value": values}, len(values), reason)


convert_cached = lru_cache(maxsize=8192)(convert)
"""`convert` for short values: most occur again in the next instance. Callers share elements and never change them."""


def number(text: str) -> int | float | str:
    """Return a DS or IS value as a JSON number, or as it is if it is not a number or JSON cannot represent it."""
    digits = text.strip(" \0")
    if _INTEGER.fullmatch(digits):
        whole = int(digits)
        return whole if -(2**63) <= whole < 2**64 else text
    if _DECIMAL.fullmatch(digits):
        real = float(digits)
        return real if math.isfinite(real) else text
    return text


def _strings(vr: str, text: str, form: Callable[[str], Any] = str) -> _Values:
    """Return the values of a text with backslashes between them, None for empty ones, and the first fault."""
    values: list[Any] = []
    reason = None
    for part in text.split("\\"):
        part = part.rstrip(" ")
        values.append(form(part) if part else None)
        if reason is None:
            reason = vr_fault(vr, part.rstrip("\0"))
    return ([] if values == [None] else values), reason


def _encoded(vr: str, raw: bytes, text: Charset, _little: bool) -> _Values:
    return _strings(vr, text.decode(raw, vr))


def _plain(vr: str, raw: bytes, _text: Charset, _little: bool) -> _Values:
    return _strings(vr, raw.decode("latin-1"))


def _application_entity(vr: str, raw: bytes, _text: Charset, _little: bool) -> _Values:
    return _strings(vr, raw.decode("latin-1"), str.strip)


def _numeric(vr: str, raw: bytes, _text: Charset, _little: bool) -> _Values:
    return _strings(vr, raw.decode("latin-1"), number)


def _integral(vr: str, raw: bytes, _text: Charset, _little: bool) -> _Values:
    return _strings(vr, raw.decode("latin-1"), _whole)


def _whole(text: str) -> int | str:
    value = number(text)
    return value if isinstance(value, int) else text


def _uids(vr: str, raw: bytes, _text: Charset, _little: bool) -> _Values:
    return _strings(vr, raw.decode("latin-1"), _uid)


def _uid(text: str) -> str | None:
    return text.strip(" \0") or None


def _names(vr: str, raw: bytes, text: Charset, _little: bool) -> _Values:
    return _strings(vr, text.decode(raw, vr), _name)


def _name(text: str) -> dict[str, str] | None:
    groups = {group: part for group, part in zip(NAME_GROUPS, text.split("="), strict=False) if part}
    return groups or None


def _paragraph(vr: str, raw: bytes, text: Charset, _little: bool) -> _Values:
    value = text.decode(raw, vr).rstrip(" ")
    return ([value] if value else []), vr_fault(vr, value.rstrip("\0"))


def _uri(vr: str, raw: bytes, _text: Charset, _little: bool) -> _Values:
    value = raw.decode("latin-1").rstrip(" ")
    return ([value] if value else []), vr_fault(vr, value.rstrip("\0"))


def _tags(vr: str, raw: bytes, _text: Charset, little: bool) -> _Values:
    words, reason = _words(vr, raw, "H", 4, little)
    return [f"{group:04X}{element:04X}" for group, element in zip(words[::2], words[1::2], strict=True)], reason


def _words(vr: str, raw: bytes, code: str, size: int, little: bool) -> _Values:
    """Return the binary numbers of a value of units of `size` bytes. An incomplete last unit is a fault."""
    whole = len(raw) - len(raw) % size
    words = struct.unpack(f"{'<' if little else '>'}{whole // struct.calcsize(code)}{code}", raw[:whole])
    reason = None if whole == len(raw) else fault_message(vr, "", f"value length is not a multiple of {size} bytes")
    return list(words), reason


def _binary(code: str) -> Callable[[str, bytes, Charset, bool], _Values]:
    size = struct.calcsize(code)

    def read(vr: str, raw: bytes, _text: Charset, little: bool) -> _Values:
        return _words(vr, raw, code, size, little)

    return read


def _floating(code: str) -> Callable[[str, bytes, Charset, bool], _Values]:
    size = struct.calcsize(code)

    def read(vr: str, raw: bytes, _text: Charset, little: bool) -> _Values:
        values, reason = _words(vr, raw, code, size, little)
        return [value if math.isfinite(value) else _not_finite(value) for value in values], reason

    return read


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


_READERS: Final[dict[str, Callable[[str, bytes, Charset, bool], _Values]]] = {
    **dict.fromkeys(("LO", "SH", "UC"), _encoded),
    **dict.fromkeys(("AS", "CS", "DA", "DT", "TM"), _plain),
    **dict.fromkeys(("LT", "ST", "UT"), _paragraph),
    "AE": _application_entity,
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
    "UR": _uri,
    "US": _binary("H"),
    "UV": _binary("Q"),
}
