"""The keys of a C-FIND identifier as parameters of a search, and matches as identifiers (PS3.4 §C.2, §C.6)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset

_STUDY_KEYS: Final = frozenset(
    (
        *(0x0020000D, 0x00080020, 0x00080030, 0x00081030, 0x00080050, 0x00080061, 0x00080090),
        *(0x00100010, 0x00100020, 0x00100030, 0x00200010),
    )
)
_SERIES_KEYS: Final = frozenset((0x0020000E, 0x00080060, 0x00400244, 0x00081090, 0x00200011, 0x00400245))
_INSTANCE_KEYS: Final = frozenset((0x00080018, 0x00080016, 0x00200013))
_PATIENT_KEYS: Final = frozenset((0x00100010, 0x00100020, 0x00100030))

_CHARACTER_SET: Final = 0x00080005
_LEVEL: Final = 0x00080052
_RETRIEVE_TITLE: Final = 0x00080054
_OWN: Final = frozenset((_CHARACTER_SET, _LEVEL, _RETRIEVE_TITLE))
"""Attributes of the identifier itself. They are no keys."""

PATIENT_ROOT: Final = "1.2.840.10008.5.1.4.1.2.1.1"
STUDY_ROOT: Final = "1.2.840.10008.5.1.4.1.2.2.1"


class Level(enum.Enum):
    """A level of the query/retrieve models."""

    PATIENT = enum.auto()
    STUDY = enum.auto()
    SERIES = enum.auto()
    IMAGE = enum.auto()

    @property
    def path(self) -> str:
        """The path of its search below the partition. Patients are found by their studies."""
        return _PATHS[self]


_PATHS: Final = {
    Level.PATIENT: "/studies",
    Level.STUDY: "/studies",
    Level.SERIES: "/series",
    Level.IMAGE: "/instances",
}

_KEYS: Final = {
    Level.PATIENT: _PATIENT_KEYS,
    Level.STUDY: _STUDY_KEYS,
    Level.SERIES: _STUDY_KEYS | _SERIES_KEYS,
    Level.IMAGE: _STUDY_KEYS | _SERIES_KEYS | _INSTANCE_KEYS,
}
"""The attributes that a search of each level filters by (conformance §5.3)."""


class InvalidIdentifier(Exception):
    """The identifier of a query does not follow its SOP class."""


@dataclass(frozen=True, slots=True)
class Query:
    """A search: its level, its parameters, and whether each key of the identifier is supported."""

    level: Level
    parameters: list[tuple[str, str]]
    complete: bool


def query_of(identifier: Dataset, sop_class: str) -> Query:
    """Return the search for an identifier. Raises `InvalidIdentifier`.

    A key with a value filters if the search knows it. Every other key is returned and does not filter; that is what
    the standard says of optional keys that an SCP does not support (PS3.4 §C.2.2.1.3).
    """
    level = _level(identifier, sop_class)
    parameters, included, complete = [], [], True
    for element in identifier:
        tag = int(element.tag)
        if tag in _OWN or element.tag.element == 0:
            continue
        name, value = f"{tag:08X}", _text(element.value)
        if value and tag in _KEYS[level]:
            parameters.append((name, value))
        elif dictionary_has_tag(tag):
            included.append(name)
        complete = complete and (not value or tag in _KEYS[level])
    if included:
        parameters.append(("includefield", ",".join(included)))
    return Query(level, parameters, complete)


def identifier_of(match: Mapping[str, Any], asked: Dataset, level: Level, title: str) -> Dataset:
    """Return the identifier of a match: the keys that were asked for, without a value where the match has none."""
    known = Dataset.from_json({tag: element for tag, element in match.items() if "BulkDataURI" not in element})
    answer = Dataset()
    for element in asked:
        if int(element.tag) in _OWN or element.tag.element == 0:
            continue
        if element.tag in known:
            answer[element.tag] = known[element.tag]
        else:
            vr = dictionary_VR(element.tag) if dictionary_has_tag(element.tag) else element.VR
            answer.add_new(element.tag, vr.split(" ")[0], [] if vr == "SQ" else None)
    answer.SpecificCharacterSet = "ISO_IR 192"
    answer.QueryRetrieveLevel = level.name
    answer.RetrieveAETitle = title
    return answer


def _level(identifier: Dataset, sop_class: str) -> Level:
    name = str(identifier.get("QueryRetrieveLevel", "")).strip()
    if name not in Level.__members__ or (name == Level.PATIENT.name and sop_class != PATIENT_ROOT):
        raise InvalidIdentifier
    return Level[name]


def _text(value: Any) -> str:
    """Return the text of a key. Several values are a list of UIDs. A sequence has none: its items do not filter."""
    if (
        value is None
        or isinstance(value, bytes)
        or (isinstance(value, list) and value and isinstance(value[0], Dataset))
    ):
        return ""
    if not isinstance(value, str) and hasattr(value, "__iter__") and not hasattr(value, "components"):
        return "\\".join(str(each) for each in value)
    return str(value).strip()
