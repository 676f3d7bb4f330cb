"""The versions of an instance's file, and the version in a row that readers do not see yet (conformance §12.4).

A bulk update writes new versions beside the current ones. It records each as *pending* in its row, under the update's
id. Readers use the pending version of a row as soon as the study row names the same update id. So one write of the
study row shows thousands of new versions at the same moment. `rows` is the only place that decides which one is seen.
"""

from __future__ import annotations

import orjson

from app.dicom.json.dataset import JsonAttributes, JsonElement
from app.storage.table.codec import Record, stored_as


class FileVersion(Record, frozen=True, kw_only=True):
    """One version of an instance's file. `size` is in bytes.

    `watermark` is in the keys of its documents, `version` is the last part of its blob's name. `native` is as in
    `InstanceRow`. `digest` is the SHA-256 of the file in base64. It is empty for a version that an older release wrote.
    """

    watermark: int
    version: str
    size: int
    native: tuple[int, ...] = ()
    digest: str = ""


class Pending(Record, frozen=True, kw_only=True):
    """What the update `update_id` changes in a row, until the update is finished or reverted.

    `file` is the new version of an instance; a series has none. `attributes_json` holds the new values of extended
    query tags as JSON text, because table fields take neither floats nor null. `make` and `attributes` convert it.
    """

    update_id: str = stored_as("epoch")
    attributes_json: str = stored_as("attributes")
    file: FileVersion | None = None

    @staticmethod
    def make(*, update_id: str, attributes: JsonAttributes, file: FileVersion | None = None) -> Pending:
        """Return a pending change. Equal attributes give equal records, whatever their order."""
        text = orjson.dumps(attributes, option=orjson.OPT_SORT_KEYS).decode()
        return Pending(update_id=update_id, attributes_json=text, file=file)

    @property
    def attributes(self) -> dict[str, JsonElement]:
        """The new values of extended query tags, by `QueryTag.key`."""
        values: dict[str, JsonElement] = orjson.loads(self.attributes_json)
        return values


def merged(attributes: JsonAttributes, newer: JsonAttributes) -> dict[str, JsonElement]:
    """Return the attributes after a newer instance: a new value wins, a missing one erases nothing (conformance
    §3.10)."""
    return {**attributes, **{tag: element for tag, element in newer.items() if element.get("Value")}}
