"""The check of blobs whose study has no row. The check of a study looks at the blobs of studies that have one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from app.services.recovery.findings import Fault, FaultKind, Subject
from app.storage.records.instance_row import InstanceRow
from app.storage.table import keys
from app.storage.table.ports import BlobStore, StoredBlob, Table

BLOB: Final = "blob"
"""The name of this check in a `Subject`. The subject has the key of the blob."""


class BlobCheck:
    """Checks blobs in batches."""

    def __init__(self, table: Table, blobs: BlobStore) -> None:
        self._table = table
        self._blobs = blobs

    def check(self, blobs: Sequence[StoredBlob]) -> list[Fault]:
        """Return a fault for each of these blobs whose study has no row."""
        named = [(blob, name) for blob in blobs if (name := keys.blob_name(blob.key))]
        studies = list(dict.fromkeys(keys.study(name.partition, name.study) for _, name in named))
        present = {key for key, item in zip(studies, self._table.get_many(studies), strict=True) if item}
        return [_fault(blob, name) for blob, name in named if keys.study(name.partition, name.study) not in present]

    def check_again(self, subjects: Iterable[Subject]) -> list[Fault]:
        """Return a fault for each of these blobs that still exists and that no row names."""
        return [fault for subject in subjects if (fault := self._check_one(subject.at[0]))]

    def _check_one(self, key: str) -> Fault | None:
        name = keys.blob_name(key)
        if name is None:
            return None
        uids = (name.study, name.series, name.instance)
        blob = next(
            (each for each in self._blobs.listed(keys.blobs_of(name.partition, *uids)) if each.key == key), None
        )
        item = self._table.get(keys.instance(name.partition, *uids))
        if blob is None:
            return None
        files = InstanceRow.of(item, name.partition, name.study).files if item else ()
        return None if any(file.version == name.version for file in files) else _fault(blob, name)


def _fault(blob: StoredBlob, name: keys.BlobName) -> Fault:
    return Fault(
        kind=FaultKind.ORPHAN_BLOB,
        subject=Subject(BLOB, (blob.key,)),
        partition=name.partition,
        study=name.study,
        series=name.series,
        instance=name.instance,
        version=name.version,
        detail=f"{blob.key}, {blob.size} bytes",
    )
