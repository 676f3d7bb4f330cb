"""The index rows: one for each study, series and instance of a partition, and who of them is visible.

An instance exists when its study row, its series row and its own row are there, none is closing, and the instance
belongs to these very rows: a row is named by the watermark of the instance that created it (`created`), so what a
deleted study left behind can never reappear under a study stored later with the same UID.

Rows carry their attributes as DICOM JSON in `data`: those searched for, merged over the instances, the latest stored
instance's value winning where it has one (spec/02).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from app.dicom.attributes import Element, Level
from app.storage import keys
from app.storage.ports import Item, Key

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
    """

    partition: int
    study: str
    created: int
    revision: int
    attributes: Mapping[str, Element] = field(default_factory=dict)
    closing: str = ""
    modalities: tuple[str, ...] = ()

    level = Level.STUDY

    @property
    def key(self) -> Key:
        return keys.study(self.partition, self.study)

    @property
    def item(self) -> Item:
        fields: dict[str, Any] = {"created": self.created, "revision": self.revision}
        if self.modalities:
            fields["modalities"] = list(self.modalities)
        if self.closing:
            fields["closing"] = self.closing
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
        )


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series of a study; `of_study` is the `created` of the study row it belongs to."""

    partition: int
    study: str
    series: str
    of_study: int
    created: int
    revision: int
    attributes: Mapping[str, Element] = field(default_factory=dict)
    closing: str = ""

    level = Level.SERIES

    @property
    def key(self) -> Key:
        return keys.series(self.partition, self.study, self.series)

    @property
    def item(self) -> Item:
        fields: dict[str, Any] = {"created": self.created, "revision": self.revision, "of_study": self.of_study}
        if self.closing:
            fields["closing"] = self.closing
        return Item(self.key, fields, orjson.dumps(self.attributes))

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
        )


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """One stored instance: which file is its current version and what is needed to serve it.

    `size` in bytes. `native` tells where uncompressed frames lie (the first fields of `dicom.frames.FrameTable`), empty
    when there are none or when a `frames` item tells. `attributes` are values of instance-level extended query tags.
    """

    partition: int
    study: str
    series: str
    instance: str
    of_study: int
    of_series: int
    watermark: int
    version: str
    size: int
    sop_class: str
    transfer_syntax: str
    native: tuple[int, ...] = ()
    attributes: Mapping[str, Element] = field(default_factory=dict)

    level = Level.INSTANCE

    @property
    def created(self) -> int:
        """What postings file an instance under; the same word as on the other rows."""
        return self.watermark

    @property
    def blob(self) -> str:
        return keys.blob(self.partition, self.study, self.series, self.instance, self.version)

    @property
    def key(self) -> Key:
        return keys.instance(self.partition, self.study, self.series, self.instance)

    @property
    def item(self) -> Item:
        fields: dict[str, Any] = {
            "of_study": self.of_study,
            "of_series": self.of_series,
            "watermark": self.watermark,
            "version": self.version,
            "size": self.size,
            "sop_class": self.sop_class,
            "transfer_syntax": self.transfer_syntax,
        }
        if self.native:
            fields["native"] = list(self.native)
        return Item(self.key, fields, orjson.dumps(self.attributes) if self.attributes else b"")

    @staticmethod
    def of(item: Item, partition: int, study: str) -> InstanceRow:
        f = item.fields
        _, series, instance = item.key.sk.split("/")
        return InstanceRow(
            partition,
            study,
            series,
            instance,
            f["of_study"],
            f["of_series"],
            f["watermark"],
            f["version"],
            f["size"],
            f["sop_class"],
            f["transfer_syntax"],
            tuple(f.get("native", ())),
            orjson.loads(item.data) if item.data else {},
        )


Row = StudyRow | SeriesRow | InstanceRow


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


def merged(attributes: Mapping[str, Element], newer: Mapping[str, Element]) -> dict[str, Element]:
    """Return the attributes after a newer instance: its values win, a missing value never erases (spec/02)."""
    return {**attributes, **{tag: element for tag, element in newer.items() if element.get("Value")}}
