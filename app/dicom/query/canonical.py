"""Canonical forms of values: the index files values in them, and queries compare them (conformance §5.4)."""

from __future__ import annotations

import math
import re
import struct
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from app.dicom.json.dataset import NAME_GROUPS, JsonElement, person_name
from app.dicom.query.moments import in_utc, wall_time
from app.dicom.validation.attributes import Attribute

NUMBERS: Final = frozenset({"IS", "SL", "SS", "UL", "US", "FL", "FD"})
WILD: Final = frozenset({"AE", "AS", "CS", "LO", "PN", "SH"})
"""VRs that permit wildcards, `*` and `?`."""

MAX_CANONICAL: Final = 200
"""The number of characters of a value in the index. `Query.matches` distinguishes longer values."""

_CONTROL = re.compile("[\x00-\x1f\x7f\U0010ffff]")
"""Characters with a meaning in keys: TAB precedes a number, U+10FFFF ends a range. Canonical values never have them."""

_WORD_BREAK = re.compile(r"[ ^=]+")


# --- canonical values ---------------------------------------------------------------------------------------------


def canonical(vr: str, value: Any) -> str:
    """Return the canonical form of a value. Values that are equal for a search have the same form.

    Text is case folded and has no trailing spaces and NULs. A person name has no accents either. A number has one
    notation. A time is filled up to the start of its period. A DT has no offset. "" means that there is no value.
    """
    if vr in NUMBERS:
        return _canonical_number(value, single=vr == "FL")
    text = person_name(value) if isinstance(value, dict) else str(value)
    text = text.rstrip(" \x00")
    if vr == "PN":
        return _fold_name(text)
    if vr in ("DT", "TM"):
        return (wall_time(text) if vr == "DT" else _canonical_time(text)) or _CONTROL.sub(" ", text).casefold()
    if text.isascii() and text.isprintable():
        return text.casefold()
    folded = unicodedata.normalize("NFD", text).casefold()
    return _CONTROL.sub(" ", unicodedata.normalize("NFC", folded)).rstrip(" ")


def compared(vr: str, value: Any) -> str:
    """Return the form in which a query compares a value: of a DT the moment in UTC, of others the canonical form."""
    moment = in_utc(str(value).rstrip(" \x00")) if vr == "DT" else None
    return moment or canonical(vr, value)


def canonical_values(
    attribute: Attribute, element: JsonElement | None, form: Callable[[str, Any], str] = canonical
) -> tuple[str, ...]:
    """Return every value that finds an element, in the `form` asked for.

    Only the first value of an element finds it (conformance §3.8, "Multiple values"). ModalitiesInStudy and attributes
    within sequences are exceptions: each of their values does. The whole of a person name and each of its groups find
    it. A value with leading spaces is returned with them and without them. Release 0.1.0 filed it with them only.
    """
    values = element.get("Value") if element else None
    if not values:
        return ()
    vr = attribute.vr
    if attribute.many:
        found = tuple(dict.fromkeys(form(vr, value) for value in values if value is not None))
    elif values[0] is None:
        return ()
    elif vr == "PN" and isinstance(values[0], dict) and values[0].keys() != {"Alphabetic"}:
        groups = (form(vr, group) for group in values[0].values())
        found = tuple(dict.fromkeys((form(vr, values[0]), *groups)))
    else:
        value = form(vr, values[0])
        if not value.startswith(" "):
            return (value,) if value else ()
        found = (value,)
    if any(value.startswith(" ") for value in found):
        found = tuple(dict.fromkeys((*found, *(value.lstrip(" ") for value in found))))
    return tuple(value for value in found if value)


def name_groups(element: JsonElement) -> tuple[str, ...]:
    """Return the canonical component groups of a name: alphabetic, ideographic, phonetic. A missing one is ""."""
    name = element["Value"][0]
    groups = [name.get(group, "") for group in NAME_GROUPS] if isinstance(name, dict) else str(name).split("=")
    return tuple(canonical("PN", group).lstrip(" ") for group in groups)


def words(canonical_name: str) -> list[str]:
    """Return the words of a canonical person name."""
    return [word for word in _WORD_BREAK.split(canonical_name) if word]


@lru_cache(maxsize=4096)
def _fold_name(text: str) -> str:
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in decomposed if not unicodedata.combining(c))
        text = unicodedata.normalize("NFC", text)  # `?` matches one syllable of Hangul, so it must be one character
    groups = _CONTROL.sub(" ", text).casefold().split("=")
    return "=".join(group.rstrip(" ^") for group in groups).rstrip("=")


_NUMBER: Final = re.compile(r"[+-]?(?:\d+|(\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d+)?)", re.ASCII)
_NUMBER_CHARACTERS: Final = 64  # no number of these VRs is longer


def _canonical_number(value: Any, *, single: bool) -> str:
    """Return a whole number as its digits, another number as the nearest double, and "" for other text.

    `single` rounds to single precision, which is the precision of FL in a file.
    """
    text = str(value).strip()
    found = _NUMBER.fullmatch(text) if len(text) <= _NUMBER_CHARACTERS else None
    if not found:
        return ""
    if not found[1]:
        return str(int(text))
    number = float(text)
    try:
        (number,) = struct.unpack("<f", struct.pack("<f", number)) if single else (number,)
    except OverflowError:
        return ""
    if math.isinf(number):
        return ""
    return str(int(number)) if number.is_integer() else repr(number)


_TM: Final = re.compile(r"(\d\d(?:\d\d){0,2})(?:\.(\d{1,6}))?")
_MIDNIGHT: Final = "000000"


def _canonical_time(text: str) -> str | None:
    found = _TM.fullmatch(text.strip())
    if not found:
        return None
    digits, fraction = found.groups()
    return f"{digits}{_MIDNIGHT[len(digits) :]}.{(fraction or '').ljust(6, '0')}"
