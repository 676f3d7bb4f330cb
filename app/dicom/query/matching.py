"""What a search asks and what matches it (conformance §5.4, PS3.4 §C.2.2.2).

`Query.matches` *defines* a match, on plain attributes; the index in `storage/search/planner.py` only finds candidates faster.
Both read values through `canonical`, so a value is compared in the form it is filed under.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from app.dicom.json.dataset import JsonAttributes
from app.dicom.query.canonical import canonical_values, compared, words
from app.dicom.query.moments import EARLIEST, LATEST, shifted
from app.dicom.validation.attributes import Attribute, Level

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

    @property
    def indexed(self) -> tuple[str, str]:
        """The range of canonical values in which the index files every match."""
        return self.low, self.high


@dataclass(frozen=True, slots=True)
class Period:
    """The moment lies between `low` and `high`, both in UTC, inclusive; an empty bound is open. For VR DT.

    The index files a DT under its wall time. The wall time of a moment differs from UTC by 14 hours at most.
    """

    low: str
    high: str

    def matches(self, value: str) -> bool:
        return self.low <= value and (not self.high or value <= self.high)

    @property
    def indexed(self) -> tuple[str, str]:
        """The range of canonical values in which the index files every match, and moments near to it."""
        return self.low and shifted(self.low, EARLIEST), self.high and shifted(self.high, LATEST)


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


Condition = OneOf | Between | Period | Wildcard | Words


@lru_cache(maxsize=512)
def _wildcard(pattern: str) -> re.Pattern[str]:
    # Runs of stars are one star, and each star but the last is atomic: the match cannot backtrack exponentially.
    pieces = [re.escape(piece).replace(r"\?", ".") for piece in re.split(r"\*+", pattern)]
    if len(pieces) == 1:
        return re.compile(pieces[0], re.DOTALL)
    first, *middle, last = pieces
    return re.compile(first + "".join(f"(?>.*?{piece})" for piece in middle) + ".*" + last, re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One attribute and what its value must satisfy; `name` is the attribute as the client typed it."""

    attribute: Attribute
    condition: Condition
    name: str

    def matches(self, attributes: JsonAttributes) -> bool:
        found = canonical_values(self.attribute, attributes.get(self.attribute.key), compared)
        return any(self.condition.matches(value) for value in found)


@dataclass(frozen=True, slots=True, kw_only=True)
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
