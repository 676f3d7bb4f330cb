"""The table of searchable attributes with level and VR (conformance §5.3), and the attributes that a search returns.

Tags are 8 upper-case hex digits, as in DICOM JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cached_property
from typing import Final

from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VR, repeater_has_tag, tag_for_keyword


class Level(IntEnum):
    """The levels of the information model, from the whole to its parts."""

    STUDY = 1
    SERIES = 2
    INSTANCE = 3

    @cached_property
    def word(self) -> str:
        return self.name.lower()


class Source(Enum):
    """Where a search finds the values of an attribute."""

    POSTINGS = "postings"
    """Postings lead from a value to the objects that have it. The rows of the objects have the value too."""

    ROW = "row"
    """The row of the instance has the value. Postings lead from it to the series of the instance."""

    METADATA = "metadata"
    """Only metadata has the value: that of the instance, or of the newest instance of the study or series."""

    POSTED_METADATA = "posted"
    """As METADATA. Postings lead to the study or series from the value of each of its instances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """An attribute that a search may filter by.

    An extended query tag has a `number`, which is different each time it is added. A private one has a `creator`
    (conformance §8.2). The tag of an attribute within a sequence is a path: `00400275.00400009`.
    """

    tag: str
    keyword: str
    vr: str
    level: Level
    number: int = 0
    creator: str = ""
    source: Source = Source.POSTINGS

    @property
    def key(self) -> str:
        """The key of values in the index. A tag that was deleted and added again has another key."""
        return f"{self.tag}#{self.number}" if self.number else self.tag

    @property
    def in_metadata(self) -> bool:
        """Whether only metadata has the value."""
        return self.source in (Source.METADATA, Source.POSTED_METADATA)

    @property
    def posted_at(self) -> Level | None:
        """The level of the objects to which postings of the attribute lead, None if it has no postings."""
        if self.source is Source.METADATA:
            return None
        return Level.SERIES if self.source is Source.ROW else self.level

    @property
    def keeps_former_values(self) -> bool:
        """Whether there are postings of former values too, and none in rows of earlier layouts."""
        return self.source in (Source.POSTED_METADATA, Source.ROW)

    @property
    def has_periods(self) -> bool:
        """Whether there are postings for the year and the month of a value, beside the one for its day.

        A range of birth dates needs none: birth dates do not follow the order of storing, so the newest objects or the
        days of the range lead to a page soon.
        """
        return self.vr == "DA" and self.posted_at is not None and self.tag != WITHOUT_PERIODS

    @property
    def many(self) -> bool:
        """Whether each value of the attribute finds its object, and not only the first (conformance §3.8)."""
        return self.tag == MODALITIES_IN_STUDY or "." in self.tag


ExtendedAttributes = Mapping[Level, tuple[Attribute, ...]]
"""The extended query tags of each level."""

WITHOUT_PERIODS: Final = "00100030"
"""PatientBirthDate."""

STUDY_UID: Final = "0020000D"
SERIES_UID: Final = "0020000E"
INSTANCE_UID: Final = "00080018"
SOP_CLASS: Final = "00080016"
MODALITY: Final = "00080060"
MODALITIES_IN_STUDY: Final = "00080061"
STUDY_SERIES_COUNT: Final = "00201206"
STUDY_INSTANCE_COUNT: Final = "00201208"
SERIES_INSTANCE_COUNT: Final = "00201209"
RETRIEVE_URL: Final = "00081190"
AVAILABILITY: Final = "00080056"
AVAILABLE_TRANSFER_SYNTAX: Final = "00083002"

UIDS: Final = {Level.STUDY: STUDY_UID, Level.SERIES: SERIES_UID, Level.INSTANCE: INSTANCE_UID}

_CORE: Final = """
    study     0020000D StudyInstanceUID               UI
    study     00080020 StudyDate                      DA
    study     00081030 StudyDescription               LO
    study     00080050 AccessionNumber                SH
    study     00080061 ModalitiesInStudy              CS
    study     00080090 ReferringPhysicianName         PN
    study     00100010 PatientName                    PN
    study     00100020 PatientID                      LO
    study     00100030 PatientBirthDate               DA
    series    0020000E SeriesInstanceUID              UI
    series    00080060 Modality                       CS
    series    00400244 PerformedProcedureStepStartDate DA
    series    00081090 ManufacturerModelName          LO
    instance  00080018 SOPInstanceUID                 UI
"""


_UNINDEXED: Final = """
    study     00080030          StudyTime                                                TM metadata
    study     00200010          StudyID                                                  SH posted
    series    00200011          SeriesNumber                                             IS metadata
    series    00400245          PerformedProcedureStepStartTime                          TM metadata
    series    00400275.00400009 RequestAttributesSequence.ScheduledProcedureStepID       SH posted
    series    00400275.00401001 RequestAttributesSequence.RequestedProcedureID           SH posted
    instance  00080016          SOPClassUID                                              UI row
    instance  00200013          InstanceNumber                                           IS metadata
"""


def _attributes(table: str) -> dict[str, Attribute]:
    rows = (line.split() for line in table.strip().splitlines())
    return {
        tag: Attribute(
            tag=tag,
            keyword=keyword,
            vr=vr,
            level=Level[level.upper()],
            source=Source(*source) if source else Source.POSTINGS,
        )
        for level, tag, keyword, vr, *source in rows
    }


CORE: Final[Mapping[str, Attribute]] = _attributes(_CORE)
"""Tag -> searchable core attribute that the index has (conformance §5.3)."""

UNINDEXED: Final[Mapping[str, Attribute]] = _attributes(_UNINDEXED)
"""Tag or path -> searchable attribute whose values are not in the index (PS3.18 Table 10.6.1-5, conformance §5.3)."""

POSTED: Final = tuple(each for each in UNINDEXED.values() if each.source is Source.POSTED_METADATA)
"""Attributes of studies and series that have postings, although only metadata has their values."""

PATH_OF_LEAF: Final = {path.rpartition(".")[2]: path for path in UNINDEXED if "." in path}
"""Tag of an attribute within a sequence -> the path that a search by this tag alone means."""

INDEXED: Final[Mapping[Level, tuple[Attribute, ...]]] = {
    level: tuple(
        a for a in CORE.values() if a.level is level and a.tag not in UIDS.values() and a.tag != MODALITIES_IN_STUDY
    )
    for level in Level
}
"""Level -> core attributes in an index row. The key of a row has the UIDs, and series rows have the modalities."""


# --- attributes that a search returns (conformance §5.7) -----------------------------------------------------------


def _tags(text: str) -> frozenset[str]:
    return frozenset(text.split())


V1_DEFAULTS: Final = {
    Level.STUDY: _tags(
        "00080005 00080020 00080030 00080050 00080056 00080090 00080201 00100010 00100020 00100030 00100040 "
        "0020000D 00200010"
    ),
    Level.SERIES: _tags("00080005 00080060 00080201 0008103E 0020000E 00400244 00400245 00400275"),
    Level.INSTANCE: _tags("00080005 00080016 00080018 00080056 00080201 00200013 00280008 00280010 00280011 00280100"),
}

V2_DEFAULTS: Final = {
    Level.STUDY: _tags("0020000D 00080020 00081030 00080050 00080090 00100010 00100020 00100030"),
    Level.SERIES: _tags("0020000E 00080060 00400244 00081090"),
    Level.INSTANCE: _tags("00080018"),
}

ALL_FIELDS: Final = {
    Level.STUDY: V1_DEFAULTS[Level.STUDY]
    | _tags("00080063 00081030 00081032 00081060 00081080 00081110 00101010 00101020 00101030 00102180 001021B0"),
    Level.SERIES: V1_DEFAULTS[Level.SERIES] | _tags("00080021 00080031 00200011 00200060"),
    Level.INSTANCE: V1_DEFAULTS[Level.INSTANCE],
}
"""Level -> tags that `includefield=all` returns."""


# --- the dictionary -----------------------------------------------------------------------------------------------


def tag_of(name: str) -> str | None:
    """Return the tag for a keyword (case-sensitive) or for 8 hex digits (any letter case), None for other names.

    Hex digits must be the tag of an attribute in the dictionary or of a private attribute (odd group).
    """
    if len(name) == 8 and all(c in "0123456789abcdefABCDEF" for c in name):
        number = int(name, 16)
        return name.upper() if _listed(number) or (number >> 16) % 2 == 1 else None
    number_of = tag_for_keyword(name) if name else None  # retired attributes have no keyword
    return None if number_of is None else f"{number_of:08X}"


def path_of(name: str) -> str | None:
    """Return the tags for a name with dots, joined by dots. Each part is as in `tag_of`. None if a part is no tag."""
    tags = [tag_of(part) for part in name.split(".")]
    return None if None in tags else ".".join(filter(None, tags))


def vr_of(tag: str) -> str | None:
    """Return the VR of a tag in the dictionary, the first if it has several. None for private and unknown tags."""
    number = int(tag, 16)
    return dictionary_VR(number)[:2] if _listed(number) else None


def keyword_of(tag: str) -> str:
    """Return the keyword of a tag. For a private or unknown tag, return the tag."""
    number = int(tag, 16)
    return dictionary_keyword(number) if _listed(number) else tag


def _listed(number: int) -> bool:
    """Return whether a tag is in the dictionary, perhaps in repeating groups such as (60xx,0010)."""
    return dictionary_has_tag(number) or repeater_has_tag(number)
