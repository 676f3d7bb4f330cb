"""Reads the parameters of a search into a `Query`, with the rules and messages of conformance §5.2 and §5.5."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from app.dicom.query.cursors import checksum, number_of
from app.dicom.query.filter_values import condition
from app.dicom.query.matching import Condition, Filter, Query
from app.dicom.validation.attributes import (
    CORE,
    PATH_OF_LEAF,
    STUDY_UID,
    UNINDEXED,
    Attribute,
    Level,
    path_of,
    tag_of,
    vr_of,
)
from app.errors import InvalidParameter, InvalidQuery

OPTIONS: Final = frozenset({"limit", "offset", "cursor", "fuzzymatching", "includefield"})
"""Names of parameters that are not attributes, in lower case."""

MAX_LIMIT: Final = 200
DEFAULT_LIMIT: Final = 100
MAX_OFFSET: Final = 2**31 - 1

_CASING = (
    "If the parameter is an attribute keyword, check the casing as they are case-sensitive. "
    "The conformance statement has a list of supported query parameters, attributes and the levels."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The attributes that a search may filter by: those of the standard, and extended query tags in status ready."""

    attributes: Mapping[str, Attribute] = field(default_factory=lambda: CORE)
    unindexed: Mapping[str, Attribute] = field(default_factory=lambda: UNINDEXED)
    """Attributes without postings. One of `attributes` that the search permits is used before one of these."""
    disabled: frozenset[str] = frozenset()
    """Tags with the query status disabled (conformance §8.4)."""
    sequences: bool = False
    """Whether attributes within sequences are permitted, as `A.B` (conformance §7.9)."""


def parse_query(
    level: Level,
    study: str | None,
    series: str | None,
    parameters: Iterable[tuple[str, str]],
    catalogue: Catalogue,
    *,
    max_offset: int = MAX_OFFSET,
    searched: str = "",
) -> Query:
    """Return the query for decoded pairs of names and values.

    `study` and `series` are UIDs of the URL, already checked. `max_offset` is the highest offset that is permitted.
    `searched` says what is searched beside the level, for example the partition: a cursor is valid only there. Raises
    `InvalidQuery`, `InvalidParameter`, `InvalidRequest` and `InvalidIdentifier` with the texts of conformance §5.5.
    """
    options: dict[str, str] = {}
    include: list[str] = []
    named: dict[str, tuple[str, str]] = {}  # tag -> (name as the client wrote it, value)
    for name, value in parameters:
        option = name.lower()
        if option == "includefield":
            include += [part.strip() for part in value.split(",")]
        elif option in OPTIONS:
            if option in options:
                raise InvalidQuery(_duplicate(name))
            options[option] = value
        else:
            _add_filter(named, name, value, catalogue)
    fuzzy = _fuzzy(options.get("fuzzymatching"))
    scope = _Scope(level=level, study=study, series=series, catalogue=catalogue, fuzzy=fuzzy)
    conditions = [scope.filter(tag, name, value) for tag, (name, value) in named.items()]
    fields, everything = _included(include)
    filters = (text for tag, (_, value) in sorted(named.items()) for text in (tag, value))
    own_checksum = checksum((searched, level.word, study, series, str(fuzzy), *filters))
    return Query(
        level=level,
        study=study,
        series=series,
        filters=tuple(
            Filter(attribute=attribute, condition=condition, name=name)
            for attribute, name, condition in conditions
            if condition
        ),
        universal=tuple(attribute.tag for attribute, _, condition in conditions if condition is None),
        include=fields,
        include_all=everything,
        limit=_integer("Limit", options.get("limit"), DEFAULT_LIMIT, 1, MAX_LIMIT),
        offset=_offset(options, max_offset),
        below=number_of(options["cursor"], own_checksum) if "cursor" in options else None,
        checksum=own_checksum,
    )


def _duplicate(name: str) -> str:
    return (
        f"Invalid QIDO-RS query. Duplicate AttributeId '{name}'. Each attribute is only allowed to be specified once."
    )


def _add_filter(named: dict[str, tuple[str, str]], name: str, value: str, catalogue: Catalogue) -> None:
    tag = path_of(name) or (name.upper() if name.upper() in catalogue.attributes else None)
    if tag and tag not in catalogue.attributes and PATH_OF_LEAF.get(tag) in catalogue.unindexed:
        tag = PATH_OF_LEAF[tag]
    if not catalogue.sequences and tag not in catalogue.unindexed and ("." in name or (tag and vr_of(tag) == "SQ")):
        raise InvalidQuery(
            f"Dicom element '{name}' failed validation for VR 'SQ': Sequential dicom tags are currently not supported."
        )
    if tag is None:
        raise InvalidQuery(f"Invalid query: unknown query parameter '{name}'. {_CASING}")
    if tag in named:
        if named[tag][0] == name:
            raise InvalidQuery(_duplicate(name))
        raise InvalidQuery(
            f"Invalid query: attribute '{name}' has been specified more than once using different ID formats. "
            "Each attribute is only allowed to be specified once."
        )
    named[tag] = (name, value)


def _integer(name: str, text: str | None, default: int, low: int, high: int) -> int:
    if text is None:
        return default
    if not re.fullmatch(r"[+-]?[0-9]{1,39}", text.strip()):
        raise InvalidParameter(name, f"The value '{text}' is not valid for {name}.")
    number = int(text.strip())  # `int` itself does not strip all that `strip` does
    if not low <= number <= high:
        raise InvalidParameter(name, f"The field {name} must be between {low} and {high}.")
    return number


def _offset(options: Mapping[str, str], highest: int) -> int:
    """Return the offset of a query. All objects before it are read, so a search far down needs a cursor."""
    offset = _integer("Offset", options.get("offset"), 0, 0, MAX_OFFSET)
    if offset > highest:
        raise InvalidParameter(
            "Offset",
            f"The field Offset must be between 0 and {highest}. Use the cursor for pages beyond it: "
            "each page has the URL of the next page in the header Link.",
        )
    if offset and "cursor" in options:
        raise InvalidParameter("Offset", "A query has either an Offset or a Cursor.")
    return offset


def _fuzzy(text: str | None) -> bool:
    if text is None:
        return False
    if text.strip().lower() not in ("true", "false"):
        raise InvalidParameter("FuzzyMatching", f"The value '{text}' is not 'true' or 'false'.")
    return text.strip().lower() == "true"


def _included(names: list[str]) -> tuple[frozenset[str], bool]:
    tags = set()
    everything = False
    for name in names:
        if name.lower() == "all":
            everything = True
            continue
        path = path_of(name) if "." in name else tag_of(name)
        if path is None:
            raise InvalidQuery(f"Invalid query: IncludeField has unknown attribute '{name}'.")
        tags.add(path.partition(".")[0])  # of an attribute in a sequence, the whole sequence is returned
    return frozenset(tags), everything


# --- one filter ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """The attributes that the route of a search may filter by, and fuzzy matching."""

    level: Level
    study: str | None
    series: str | None
    catalogue: Catalogue
    fuzzy: bool

    def filter(self, tag: str, name: str, value: str) -> tuple[Attribute, str, Condition | None]:
        """Return the attribute, its name, and the condition of a value: None for universal matching."""
        named = (self.catalogue.attributes.get(tag), self.catalogue.unindexed.get(tag))
        attribute = next((each for each in named if each and self._allows(each)), None)
        if attribute is None:
            raise InvalidQuery(f"Invalid query: AttributeId {name} is not queryable.  {_CASING}")
        if attribute is named[0] and tag in self.catalogue.disabled:
            raise InvalidQuery(f"Query is disabled on specified attribute '{name}'.")
        return attribute, name, condition(attribute, name, value.strip().rstrip(" \x00"), fuzzy=self.fuzzy)

    def _allows(self, attribute: Attribute) -> bool:
        """Tell whether an attribute is at the level of the results, or above it but below the UIDs of the URL.

        StudyInstanceUID is permitted everywhere.
        """
        if attribute.tag == STUDY_UID:
            return True
        above = Level.INSTANCE if self.series else Level.SERIES if self.study else Level.STUDY
        return above <= attribute.level <= self.level
