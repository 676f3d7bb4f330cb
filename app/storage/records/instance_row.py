"""The index row of one stored instance; the rows above it, and who of all is visible, are in `rows`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from app.dicom.json.dataset import JsonElement
from app.dicom.validation.attributes import Level
from app.storage.records.file_versions import FileVersion, Pending, merged
from app.storage.table import keys
from app.storage.table.ports import Item, Key


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """One stored instance: which file is its current version and what is needed to serve it.

    `size` in bytes. `native` tells where uncompressed frames lie (the first fields of `dicom.frames.FrameTable`), empty
    when there are none or when a `frames` item tells. `attributes` are values of instance-level extended query tags.
    `original` is the first stored version, None while that is the current one; `update_id` the last bulk update that the
    row was tidied after. `revision` is as on the other rows. `errors` tells, by the key of an extended query tag,
    where the error lies that kept the instance from being filed under it.
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
    attributes: Mapping[str, JsonElement] = field(default_factory=dict)
    revision: int = 0
    update_id: str = ""
    original: FileVersion | None = None
    pending: Pending | None = None
    errors: Mapping[str, str] = field(default_factory=dict)

    level = Level.INSTANCE

    @property
    def created(self) -> int:
        """The first watermark: what postings file an instance under, so that an update leaves its place in searches."""
        return self.original.watermark if self.original else self.watermark

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
            "revision": self.revision,
        }
        if self.native:
            fields["native"] = list(self.native)
        if self.update_id:
            fields["epoch"] = self.update_id
        if self.original:
            fields["original"] = self.original.fields
        if self.pending:
            fields["pending"] = self.pending.fields
        if self.errors:
            fields["errors"] = dict(self.errors)
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
            f["revision"],
            f.get("epoch", ""),
            FileVersion.of(f["original"]) if "original" in f else None,
            Pending.of(f.get("pending")),
            f.get("errors", {}),
        )

    @property
    def file(self) -> FileVersion:
        """The current version."""
        return FileVersion(self.watermark, self.version, self.size, self.native)

    @property
    def files(self) -> tuple[FileVersion, ...]:
        """Every version that the row vouches for."""
        pending = self.pending.file if self.pending else None
        return tuple(each for each in (self.file, self.original, pending) if each)

    def with_file(self, file: FileVersion) -> InstanceRow:
        """Return the row with another version as the current one."""
        return replace(self, watermark=file.watermark, version=file.version, size=file.size, native=file.native)

    @property
    def first(self) -> InstanceRow:
        """The row with its original version as the current one."""
        return self.with_file(self.original) if self.original else self

    def at(self, update_id: str) -> InstanceRow:
        """Return the row as the update `update_id`, if it is pending, leaves it."""
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
