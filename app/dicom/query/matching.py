"""Queries and their conditions (conformance §5.4, PS3.4 §C.2.2.2).

`Query.matches` defines what matches. The index (`storage/search`) only finds candidates faster. The index files
canonical values (`query.canonical`), and conditions compare them. DT is the exception: the index files the wall time,
conditions compare the moment in UTC (`query.moments`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, repeat

from app.dicom.json.dataset import JsonAttributes
from app.dicom.query.canonical import canonical_values, compared, name_groups, words
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
    """The canonical value is between `low` and `high`, both included. An empty bound is open."""

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
    """For VR DT: the moment is between `low` and `high`, both in UTC and included. An empty bound is open.

    The index files a DT under its wall time, which is at most 12 hours before and 14 hours after UTC.
    """

    low: str
    high: str

    def matches(self, value: str) -> bool:
        return self.low <= value and (not self.high or value <= self.high)

    @property
    def indexed(self) -> tuple[str, str]:
        """The range of canonical values in which the index files every match. It also has values that do not match."""
        return self.low and shifted(self.low, EARLIEST), self.high and shifted(self.high, LATEST)


@dataclass(frozen=True, slots=True)
class Wildcard:
    """The canonical value matches a pattern. `*` stands for any characters, `?` for one character."""

    pattern: str

    @property
    def prefix(self) -> str:
        """The text before the first wildcard. Every match starts with it."""
        return re.split(r"[*?]", self.pattern, maxsplit=1)[0]

    def matches(self, value: str) -> bool:
        return _wildcard(self.pattern).fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Words:
    """Fuzzy matching: consecutive words of a name start with the words of the query, in the same order."""

    words: tuple[str, ...]

    def matches(self, value: str) -> bool:
        name = words(value)
        last = len(name) - len(self.words)
        return any(
            all(name[start + i].startswith(word) for i, word in enumerate(self.words)) for start in range(last + 1)
        )


@dataclass(frozen=True, slots=True)
class NameGroups:
    """Each component group of a person name satisfies its condition: alphabetic, ideographic, phonetic (PS3.5 §6.2.1).

    None permits every text. At least one group has a condition.
    """

    groups: tuple[OneOf | Wildcard | Words | None, ...]

    def matches(self, groups: tuple[str, ...]) -> bool:
        """Tell whether a name matches. `groups` are its canonical component groups."""
        texts = chain(groups, repeat(""))
        return all(each is None or each.matches(text) for each, text in zip(self.groups, texts, strict=False))

    @property
    def indexed(self) -> OneOf | Wildcard | Words:
        """The condition of one group. The index files each group and its words, so it has a posting of every match."""
        conditions = [each for each in self.groups if each is not None]
        return max(conditions, key=_selectivity)


def _selectivity(condition: OneOf | Wildcard | Words) -> tuple[int, int]:
    """Return a number by which conditions are ordered. The higher it is, the fewer postings match."""
    match condition:
        case OneOf():
            return 2, 0
        case Words(parts):
            return 1, max(map(len, parts))
        case Wildcard():
            return 0, len(condition.prefix)


Posted = OneOf | Between | Period | Wildcard | Words
"""A condition for one canonical value, as postings hold it."""

Condition = Posted | NameGroups


@lru_cache(maxsize=512)
def _wildcard(pattern: str) -> re.Pattern[str]:
    # Repeated stars count as one star. Each star except the last is atomic, so a match cannot backtrack exponentially.
    pieces = [re.escape(piece).replace(r"\?", ".") for piece in re.split(r"\*+", pattern)]
    if len(pieces) == 1:
        return re.compile(pieces[0], re.DOTALL)
    first, *middle, last = pieces
    return re.compile(first + "".join(f"(?>.*?{piece})" for piece in middle) + ".*" + last, re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """An attribute and the condition for its value. `name` is the attribute as the client wrote it."""

    attribute: Attribute
    condition: Condition
    name: str

    def matches(self, attributes: JsonAttributes) -> bool:
        element = attributes.get(self.attribute.key)
        found = canonical_values(self.attribute, element, compared)
        if isinstance(self.condition, NameGroups):
            return element is not None and bool(found) and self.condition.matches(name_groups(element))
        return any(self.condition.matches(value) for value in found)

    @property
    def indexed(self) -> Posted:
        """The condition that one posting of every match satisfies."""
        return self.condition.indexed if isinstance(self.condition, NameGroups) else self.condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A search: level of the results, study and series of the URL, filters, attributes to return, and the page.

    `below`: the page has only objects with a lower number. `checksum` is that of `query/cursors.py`.
    """

    level: Level
    study: str | None = None
    series: str | None = None
    filters: tuple[Filter, ...] = ()
    universal: tuple[str, ...] = ()
    """Tags with an empty value, or with `*` alone. They match every object, and their values are returned."""
    include: frozenset[str] = frozenset()
    include_all: bool = False
    limit: int = 100
    offset: int = 0
    below: int | None = None
    checksum: bytes = bytes(7)

    def matches(self, attributes: JsonAttributes) -> bool:
        """Tell whether an object matches every filter. `attributes` are its own and those of its parents.

        They include the UIDs of all levels and, for a study, ModalitiesInStudy.
        """
        return satisfies(attributes, self.filters)

    def tags(self) -> Iterator[str]:
        """Yield the tags of all filters, also of those that match universally."""
        yield from (each.attribute.tag for each in self.filters)
        yield from self.universal


def satisfies(attributes: JsonAttributes, filters: Iterable[Filter]) -> bool:
    """Tell whether the attributes of an object and its parents match each of some filters."""
    return all(each.matches(attributes) for each in filters)
