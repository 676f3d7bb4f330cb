"""The index rows: one for each study, series and instance of a partition, and who of them is visible.

An instance exists when its study row, its series row and its own row are there, none is closing, and the instance
belongs to these very rows: a row is named by the watermark of the instance that created it (`created`), so what a
deleted study left behind can never reappear under a study stored later with the same UID.

Rows carry their attributes as DICOM JSON in `data`: those searched for, merged over the instances, the latest stored
instance's value winning where it has one (conformance §3.10).

A row may hold a pending version (`file_versions`). What readers see of it is `row.at(study.update_id)`; what writers
expect and replace is the row itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from app.dicom.json.dataset import JsonElement
from app.dicom.validation.attributes import Level
from app.storage.records.file_versions import Pending, merged
from app.storage.records.instance_row import InstanceRow
from app.storage.table import keys
from app.storage.table.ports import Item, Key

__all__ = [
    "DELETING",
    "EMPTYING",
    "IndexRow",
    "InstanceRow",
    "SeriesRow",
    "StudyRow",
    "first_revision",
    "member",
    "merged",
    "visible",
]

EMPTYING: Final = "emptying"
"""Closing because its last member was just removed; opened again if another appeared meanwhile."""

DELETING: Final = "deleting"
"""Closing because it was deleted whole; what is in it goes too."""

_WRITES_BITS: Final = 20


def first_revision(created: int) -> int:
    """Return the revision of a row when it is new: far from any that an earlier row under its key ever had.

    A write that expects a revision must not meet a later row of the same UID.
    """
    return created << _WRITES_BITS


@dataclass(frozen=True, slots=True)
class StudyRow:
    """A study of a partition. `revision` grows with its writes; every write expects the revision it read.

    `modalities` are all that its series ever had, by which it is filed; which it has now, its series rows tell.
    `update_id` is the last bulk update that readers see, `reach` a watermark that no instance in it exceeds; `writing` is
    an update whose new versions are being written, `settling` one that readers see while its rows are being tidied.
    """

    partition: int
    study: str
    created: int
    revision: int
    attributes: Mapping[str, JsonElement] = field(default_factory=dict)
    closing: str = ""
    modalities: tuple[str, ...] = ()
    update_id: str = ""
    writing: str = ""
    finishing: str = ""
    last_watermark: int = 0

    level = Level.STUDY

    @property
    def key(self) -> Key:
        return keys.study(self.partition, self.study)

    @property
    def item(self) -> Item:
        fields: dict[str, Any] = {"created": self.created, "revision": self.revision}
        if self.modalities:
            fields["modalities"] = list(self.modalities)
        marks = {
            "closing": self.closing,
            "epoch": self.update_id,
            "writing": self.writing,
            "settling": self.finishing,
            "reach": self.last_watermark,
        }
        fields |= {name: value for name, value in marks.items() if value}
        return Item(self.key, fields, orjson.dumps(self.attributes))

    @staticmethod
    def of(item: Item, partition: int, study: str) -> StudyRow:
        f = item.fields
        return StudyRow(
            partition,
            study,
            f["created"],
            f["revision"],
            orjson.loads(item.data),
            f.get("closing", ""),
            tuple(f.get("modalities", ())),
            f.get("epoch", ""),
            f.get("writing", ""),
            f.get("settling", ""),
            f.get("reach", 0),
        )


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series of a study; `of_study` is the `created` of the study row it belongs to, `ending` as in `closing`."""

    partition: int
    study: str
    series: str
    of_study: int
    created: int
    revision: int
    attributes: Mapping[str, JsonElement] = field(default_factory=dict)
    closing: str = ""
    pending: Pending | None = None
    ending: bool = False

    level = Level.SERIES

    @property
    def key(self) -> Key:
        return keys.series(self.partition, self.study, self.series)

    @property
    def item(self) -> Item:
        fields: dict[str, Any] = {"created": self.created, "revision": self.revision, "of_study": self.of_study}
        if self.closing:
            fields["closing"] = self.closing
        if self.pending:
            fields["pending"] = self.pending.fields
        if self.ending:
            fields["ending"] = True
        return Item(self.key, fields, orjson.dumps(self.attributes))

    def at(self, update_id: str) -> SeriesRow:
        """Return the row as the update `update_id`, if it is pending, leaves it."""
        if self.pending is None or self.pending.update_id != update_id:
            return self
        return replace(self, attributes=merged(self.attributes, self.pending.attributes), pending=None)

    @staticmethod
    def of(item: Item, partition: int, study: str) -> SeriesRow:
        f = item.fields
        return SeriesRow(
            partition,
            study,
            item.key.sk[len("series/") :],
            f["of_study"],
            f["created"],
            f["revision"],
            orjson.loads(item.data),
            f.get("closing", ""),
            Pending.of(f.get("pending")),
            f.get("ending", False),
        )


IndexRow = StudyRow | SeriesRow | InstanceRow


def member(study: StudyRow | None, series: SeriesRow | None) -> bool:
    """Tell whether the series is visible in the study."""
    return bool(study and series and not study.closing and not series.closing and series.of_study == study.created)


def visible(study: StudyRow | None, series: SeriesRow | None, instance: InstanceRow | None) -> bool:
    """Tell whether the instance exists for readers."""
    return bool(
        instance
        and study
        and series
        and member(study, series)
        and instance.of_series == series.created
        and instance.of_study == study.created
    )
