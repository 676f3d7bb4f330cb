"""The versions of an instance's file, and what a row holds of a version that readers do not see yet (conformance §12.4).

A bulk update writes new versions beside the current ones, and notes each as *pending* in its row under the update's
`update_id`. Readers take a row's pending version once the study row names that update_id: so one write to the study row shows
thousands of new versions at once, and `rows` is the one place that decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from app.dicom.json.dataset import JsonElement

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FileVersion:
    """A file of an instance: under which watermark its documents lie, how its blob is named, its `size` in bytes.

    `native` as in `rows.InstanceRow`.
    """

    watermark: int
    version: str
    size: int
    native: tuple[int, ...] = ()

    @property
    def fields(self) -> Fields:
        fields: Fields = {"watermark": self.watermark, "version": self.version, "size": self.size}
        return fields | {"native": list(self.native)} if self.native else fields

    @staticmethod
    def of(fields: Fields) -> FileVersion:
        return FileVersion(fields["watermark"], fields["version"], fields["size"], tuple(fields.get("native", ())))


@dataclass(frozen=True, slots=True)
class Pending:
    """What the update `update_id` makes of a row: new values of extended query tags and, of an instance, a new file."""

    update_id: str
    attributes: Mapping[str, JsonElement]
    file: FileVersion | None = None

    @property
    def fields(self) -> Fields:
        fields: Fields = {"epoch": self.update_id, "attributes": orjson.dumps(self.attributes).decode()}
        return fields | {"file": self.file.fields} if self.file else fields

    @staticmethod
    def of(fields: Fields | None) -> Pending | None:
        if fields is None:
            return None
        file = FileVersion.of(fields["file"]) if "file" in fields else None
        return Pending(fields["epoch"], orjson.loads(fields["attributes"]), file)


def merged(attributes: Mapping[str, JsonElement], newer: Mapping[str, JsonElement]) -> dict[str, JsonElement]:
    """Return the attributes after a newer instance: its values win, a missing value never erases (conformance §3.10)."""
    return {**attributes, **{tag: element for tag, element in newer.items() if element.get("Value")}}
