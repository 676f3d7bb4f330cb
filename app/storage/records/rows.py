"""The index rows: one for each study, series and instance of a partition, and the rule which of them are visible.

An instance exists when its own row, its series row and its study row exist, none of them is closing, and each names the
`created` number of the rows above it. The number `created` identifies a row: it is the watermark of the instance that
created it. So rows that a deleted study left do not appear in a study that is stored later with the same UID.

The attributes of a row are DICOM JSON in `Item.data`: the searchable ones, merged over the instances. The value of the
instance that was stored last wins, if it has one (conformance §3.10).

A row may hold a pending version (`file_versions`). Readers see `row.after_update(study.update_id)`. Writers expect and
replace the row as it is stored.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec
import orjson
from msgspec.structs import replace

from app.dicom.validation.attributes import Level
from app.storage.records.file_versions import Pending, merged
from app.storage.records.instance_row import InstanceRow
from app.storage.table import keys
from app.storage.table.codec import EMPTY, Attributes, Record, decode, encode, stored_as
from app.storage.table.ports import Item, Key

__all__ = [
    "DELETING",
    "EMPTYING",
    "IndexRow",
    "InstanceRow",
    "SeriesRow",
    "StudyRow",
    "belongs_to",
    "first_revision",
    "is_visible_instance",
    "is_visible_series",
    "merged",
]

EMPTYING: Final = "emptying"
"""The last member was removed, so the row is being closed. A store that adds a member meanwhile opens it again."""

DELETING: Final = "deleting"
"""A caller deleted the study or series as a whole, so its members are removed too."""

_REVISION_BITS: Final = 20


def first_revision(created: int) -> int:
    """Return the revision of a new row. It is far from every revision that an earlier row under the same key had.

    So a write that expects the revision of an earlier row always conflicts with a later row of the same UID.
    """
    return created << _REVISION_BITS


class StudyRow(Record, frozen=True, kw_only=True):
    """A study of a partition. `revision` grows with each write of the row, and each write expects the one it read.

    `closing` is empty, `EMPTYING` or `DELETING`. `modalities` are all that the series of the study ever had: the study
    has a posting for each. Its present modalities are in its series rows. `posted` is as in `posted_values`.
    `update_id` is the last bulk update that readers see. No instance of that update has a watermark above
    `last_watermark`. `writing` is an update that is writing new versions. `finishing` is an update that readers see and
    that is making its versions current, row by row. `shards` is as in `spread_lists`.
    """

    partition: int
    study: str
    created: int
    revision: int
    attributes: Attributes = EMPTY
    closing: str = ""
    modalities: tuple[str, ...] = ()
    posted: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    update_id: str = stored_as("epoch", default="")
    writing: str = ""
    finishing: str = stored_as("settling", default="")
    last_watermark: int = stored_as("reach", default=0)
    shards: int = 1

    level: ClassVar[Level] = Level.STUDY

    @property
    def key(self) -> Key:
        return keys.study(self.partition, self.study)

    @property
    def item(self) -> Item:
        fields = encode(replace(self, attributes=EMPTY), "partition", "study", "attributes")
        return Item(self.key, fields, orjson.dumps(self.attributes))

    @staticmethod
    def of(item: Item, partition: int, study: str) -> StudyRow:
        return decode(StudyRow, item.fields, partition=partition, study=study, attributes=orjson.loads(item.data))


class SeriesRow(Record, frozen=True, kw_only=True):
    """A series of a study. `of_study` is the `created` number of the study row that it belongs to.

    `closing` and `revision` are as in `StudyRow`. `ending` says that a deletion is about to close the series as empty
    (`index/closing.py`). `posted` is as in `posted_values`. `counted` is a part of the number of its instances
    (`index/counts.py`), None in a row of an earlier layout. `shards` is as in `spread_lists`.
    """

    partition: int
    study: str
    series: str
    of_study: int
    created: int
    revision: int
    attributes: Attributes = EMPTY
    closing: str = ""
    pending: Pending | None = None
    ending: bool = False
    counted: int | None = None
    posted: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    shards: int = 1

    level: ClassVar[Level] = Level.SERIES

    @property
    def key(self) -> Key:
        return keys.series(self.partition, self.study, self.series)

    @property
    def item(self) -> Item:
        fields = encode(replace(self, attributes=EMPTY), "partition", "study", "series", "attributes")
        return Item(self.key, fields, orjson.dumps(self.attributes))

    def after_update(self, update_id: str) -> SeriesRow:
        """Return the row after the update `update_id`, if that is pending in it; else the row as it is."""
        if self.pending is None or self.pending.update_id != update_id:
            return self
        return replace(self, attributes=merged(self.attributes, self.pending.attributes), pending=None)

    @staticmethod
    def of(item: Item, partition: int, study: str) -> SeriesRow:
        series = item.key.sk.removeprefix("series/")
        attributes = orjson.loads(item.data)
        return decode(SeriesRow, item.fields, partition=partition, study=study, series=series, attributes=attributes)


IndexRow = StudyRow | SeriesRow | InstanceRow


def is_visible_series(study: StudyRow | None, series: SeriesRow | None) -> bool:
    """Return whether the series is visible: both rows are open, and the series belongs to this study row."""
    return bool(study and series and not study.closing and not series.closing and series.of_study == study.created)


def is_visible_instance(study: StudyRow | None, series: SeriesRow | None, instance: InstanceRow | None) -> bool:
    """Return whether the instance is visible: its series is visible, and it belongs to these two rows."""
    return bool(
        instance and study and series and is_visible_series(study, series) and belongs_to(instance, series, study)
    )


def belongs_to(instance: InstanceRow, series: SeriesRow, study: StudyRow) -> bool:
    """Return whether an instance was stored under this series row and this study row."""
    return instance.of_series == series.created and instance.of_study == study.created
