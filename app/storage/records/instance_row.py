"""The index row of one stored instance. The rows above it, and the rule of visibility, are in `rows`."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import orjson
from msgspec.structs import replace

from app.dicom.validation.attributes import Level
from app.storage.records.file_versions import FileVersion, Pending, merged
from app.storage.table import keys
from app.storage.table.codec import EMPTY, Attributes, Record, decode, encode, stored_as
from app.storage.table.ports import Item, Key


class InstanceRow(Record, frozen=True, kw_only=True):
    """One stored instance: its current file version, and what is needed to serve it.

    `digest` is as in `FileVersion`. `of_study` and `of_series` are the `created` numbers of the rows that the instance
    belongs to. `size` is in bytes.
    `native` says where uncompressed frames are in the file (the first fields of `dicom.encoding.frames.FrameTable`). It
    is empty if there are no frames, and if an item of the `frames` family holds their table. `attributes` are the
    values of instance-level extended query tags. `original` is the first stored version, None while that is the current
    one. `update_id` is the last bulk update whose version became current. `revision` is as in `StudyRow`. `errors` maps
    the key of an extended query tag to the key of the error that kept the instance out of that tag's index.
    `shards` is as in `spread_lists`.
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
    revision: int
    native: tuple[int, ...] = ()
    digest: str = ""
    attributes: Attributes = EMPTY
    update_id: str = stored_as("epoch", default="")
    original: FileVersion | None = None
    pending: Pending | None = None
    errors: dict[str, str] = msgspec.field(default_factory=dict)
    shards: int = 1

    level: ClassVar[Level] = Level.INSTANCE

    @property
    def created(self) -> int:
        """The first watermark. It is in the keys of the postings, so an update keeps the place of the instance."""
        return self.original.watermark if self.original else self.watermark

    @property
    def blob(self) -> str:
        return keys.blob(self.partition, self.study, self.series, self.instance, self.version)

    @property
    def key(self) -> Key:
        return keys.instance(self.partition, self.study, self.series, self.instance)

    @property
    def item(self) -> Item:
        bare = replace(self, attributes=EMPTY) if self.attributes else self
        fields = encode(bare, "partition", "study", "series", "instance", "attributes")
        return Item(self.key, fields, orjson.dumps(self.attributes) if self.attributes else b"")

    @staticmethod
    def of(item: Item, partition: int, study: str) -> InstanceRow:
        _, series, instance = item.key.sk.split("/")
        attributes = orjson.loads(item.data) if item.data else EMPTY
        return decode(
            InstanceRow,
            item.fields,
            partition=partition,
            study=study,
            series=series,
            instance=instance,
            attributes=attributes,
        )

    @property
    def file(self) -> FileVersion:
        """The current version."""
        return FileVersion(
            watermark=self.watermark, version=self.version, size=self.size, native=self.native, digest=self.digest
        )

    @property
    def files(self) -> tuple[FileVersion, ...]:
        """Every version that the row names: the current one, the original one, the pending one."""
        pending = self.pending.file if self.pending else None
        return tuple(each for each in (self.file, self.original, pending) if each)

    def with_file(self, file: FileVersion) -> InstanceRow:
        """Return the row with another version as the current one."""
        return replace(
            self,
            watermark=file.watermark,
            version=file.version,
            size=file.size,
            native=file.native,
            digest=file.digest,
        )

    @property
    def with_original_file(self) -> InstanceRow:
        """The row with its original version as the current one."""
        return self.with_file(self.original) if self.original else self

    def after_update(self, update_id: str) -> InstanceRow:
        """Return the row after the update `update_id`, if that is pending in it; else the row as it is."""
        pending = self.pending
        if pending is None or pending.update_id != update_id or pending.file is None:
            return self
        return replace(
            self.with_file(pending.file),
            attributes=merged(self.attributes, pending.attributes),
            original=self.original or self.file,
            update_id=update_id,
            pending=None,
        )
