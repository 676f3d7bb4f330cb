"""What a search asks and what matches it (conformance §5.4, PS3.4 §C.2.2.2).

`Query.matches` *defines* a match, on plain attributes; the index in `storage/search/planner.py` only finds candidates faster.
Both read values through `canonical`, so a value is compared in the form it is filed under.
"""

from __future__ import annotations

import math
import re
import struct
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from app.dicom.json.dataset import JsonAttributes, JsonElement
from app.dicom.validation.attributes import Attribute, Level

NUMBERS: Final = frozenset({"IS", "SL", "SS", "UL", "US", "FL", "FD"})
RANGES: Final = frozenset({"DA", "DT", "TM"})
WILD: Final = frozenset({"AE", "AS", "CS", "LO", "PN", "SH"})
"""VRs whose filters may hold `*` and `?`."""

MAX_CANONICAL: Final = 200
"""Characters of a value that the index files; longer values are told apart by `matches`."""

_CONTROL = re.compile("[\x00-\x1f\x7f\U0010ffff]")
"""Characters that keys need for themselves: TAB before a number, and the last of all at the end of a range."""

_WORD_BREAK = re.compile(r"[ ^=]+")


# --- canonical values ---------------------------------------------------------------------------------------------


def canonical(vr: str, value: Any) -> str:
    """Return the one spelling under which equal values meet: case folded, trailing spaces and NULs gone.

    Person names also lose accents (conformance §5.4); numbers their notation; times are filled up to the start of their period.
    An empty string stands for no value.
    """
    if vr in NUMBERS:
        return _canonical_number(value, single=vr == "FL")
    text = _person_text(value) if isinstance(value, dict) else str(value)
    text = text.rstrip(" \x00")
    if vr == "PN":
        return _fold_name(text)
    if vr == "DT":
        return _canonical_time(text, _DT)
    if vr == "TM":
        return _canonical_time(text, _TM)
    if text.isascii() and text.isprintable():
        return text.casefold()
    folded = unicodedata.normalize("NFD", text).casefold()
    return _CONTROL.sub(" ", unicodedata.normalize("NFC", folded)).rstrip(" ")


def canonical_values(attribute: Attribute, element: JsonElement | None) -> tuple[str, ...]:
    """Return every canonical value that an element is found by: its first value only, conformance §3.8 "Multiple values".

    A person name of several groups is found whole and by each group; ModalitiesInStudy by each of its values, and so
    are attributes within sequences.
    """
    values = element.get("Value") if element else None
    if not values:
        return ()
    vr = attribute.vr
    if attribute.many:
        found = tuple(dict.fromkeys(canonical(vr, value) for value in values if value is not None))
    elif values[0] is None:
        return ()
    elif vr == "PN" and isinstance(values[0], dict) and values[0].keys() != {"Alphabetic"}:
        groups = (canonical(vr, group) for group in values[0].values())
        found = tuple(dict.fromkeys((canonical(vr, values[0]), *groups)))
    else:
        found = (canonical(vr, values[0]),)
    return tuple(value for value in found if value)


def words(canonical_name: str) -> list[str]:
    """Return the words of a canonical person name."""
    return [word for word in _WORD_BREAK.split(canonical_name) if word]


def _person_text(value: dict[str, str]) -> str:
    groups = [value.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")]
    return "=".join(groups).rstrip("=")


@lru_cache(maxsize=4096)
def _fold_name(text: str) -> str:
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in decomposed if not unicodedata.combining(c))
        text = unicodedata.normalize("NFC", text)  # a syllable of Hangul is one character again, as `?` takes it
    groups = _CONTROL.sub(" ", text).casefold().split("=")
    return "=".join(group.rstrip(" ^") for group in groups).rstrip("=")


_NUMBER: Final = re.compile(r"[+-]?(?:\d+|(\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d+)?)", re.ASCII)
_NUMBER_CHARACTERS: Final = 64  # more than any number of these VRs can need


def _canonical_number(value: Any, *, single: bool) -> str:
    """Return whole numbers by their digits, however large, and others as the nearest double; nothing for no number.

    `single`: as the nearest one of single precision, which is what a file holds.
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


# A DT or TM: its digits up to the second, a fraction. What is missing is filled from `_START`.
_DT: Final = re.compile(r"(\d{4}(?:\d\d){0,5})(?:\.(\d{1,6}))?(?:[+-]\d{4})?")
_TM: Final = re.compile(r"(\d\d(?:\d\d){0,2})(?:\.(\d{1,6}))?")
_START: Final = {_DT: "00000101000000", _TM: "000000"}


def _canonical_time(text: str, pattern: re.Pattern[str]) -> str:
    found = pattern.fullmatch(text.strip())
    if not found:
        return _CONTROL.sub(" ", text).casefold()
    digits, fraction = found.groups()
    return f"{digits}{_START[pattern][len(digits) :]}.{(fraction or '').ljust(6, '0')}"


# --- conditions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OneOf:
    """The canonical value is one of these."""

    values: frozenset[str]

    def matches(self, value: str) -> bool:
        return value in self.values


@dataclass(frozen=True, slots=True)
class Between:
    """The canonical value lies between `low` and `high`, inclusive; an empty bound is open."""

    low: str
    high: str

    def matches(self, value: str) -> bool:
        return self.low <= value and (not self.high or value <= self.high)


@dataclass(frozen=True, slots=True)
class Wildcard:
    """The canonical value fits a pattern of `*` (any run) and `?` (any one character)."""

    pattern: str

    @property
    def prefix(self) -> str:
        """What every match starts with."""
        return re.split(r"[*?]", self.pattern, maxsplit=1)[0]

    def matches(self, value: str) -> bool:
        return _wildcard(self.pattern).fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Words:
    """Each query word is a prefix of a name word, consecutive query words of consecutive name words in order."""

    words: tuple[str, ...]

    def matches(self, value: str) -> bool:
        name = words(value)
        last = len(name) - len(self.words)
        return any(
            all(name[start + i].startswith(word) for i, word in enumerate(self.words)) for start in range(last + 1)
        )


Condition = OneOf | Between | Wildcard | Words


@lru_cache(maxsize=512)
def _wildcard(pattern: str) -> re.Pattern[str]:
    # Runs of stars are one star, and each star but the last is atomic: the match cannot backtrack exponentially.
    pieces = [re.escape(piece).replace(r"\?", ".") for piece in re.split(r"\*+", pattern)]
    if len(pieces) == 1:
        return re.compile(pieces[0], re.DOTALL)
    first, *middle, last = pieces
    return re.compile(first + "".join(f"(?>.*?{piece})" for piece in middle) + ".*" + last, re.DOTALL)


@dataclass(frozen=True, slots=True)
class Filter:
    """One attribute and what its value must satisfy; `name` is the attribute as the client typed it."""

    attribute: Attribute
    condition: Condition
    name: str

    def matches(self, attributes: JsonAttributes) -> bool:
        found = canonical_values(self.attribute, attributes.get(self.attribute.key))
        return any(self.condition.matches(value) for value in found)


@dataclass(frozen=True, slots=True)
class Query:
    """A search: result `level`, the study and series of its URL, filters, what to return, and the page."""

    level: Level
    study: str | None = None
    series: str | None = None
    filters: tuple[Filter, ...] = ()
    universal: tuple[str, ...] = ()
    """Tags asked for with `*` alone: they match everything, and are returned."""
    include: frozenset[str] = frozenset()
    include_all: bool = False
    limit: int = 100
    offset: int = 0

    def matches(self, attributes: JsonAttributes) -> bool:
        """Tell whether an object with these attributes (its own and its parents') satisfies every filter.

        `attributes` holds the UIDs of all levels and, for studies, ModalitiesInStudy.
        """
        return all(each.matches(attributes) for each in self.filters)

    def tags(self) -> Iterator[str]:
        """Yield the tags of all filters."""
        yield from (each.attribute.tag for each in self.filters)
        yield from self.universal
