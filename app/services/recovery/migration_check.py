"""The comparison of source and target at the end of a migration: every item, every file, and every stored digest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Final

from app.errors import BlobMissing, RecoveryError
from app.services.digest import digest_of
from app.services.parallel import prefetch
from app.services.recovery.migration_parts import Store, batches, blob_pairs, copied_key, is_committed, is_copied
from app.services.recovery.migration_report import MigrationReport
from app.services.recovery.verification import ShowProgress
from app.storage.records.instance_row import InstanceRow
from app.storage.table import keys
from app.storage.table.ports import BlobStore, Item

_AT_ONCE: Final = 8

_Named = tuple[str, str]
"""The key of a file, and the digest that its row has."""


class MigrationCheck:
    """Compares the two stores, and writes into the report what it compared."""

    def __init__(self, source: Store, target: Store, report: MigrationReport, show: ShowProgress) -> None:
        self._source = source
        self._target = target
        self._report = report
        self._show = show

    def run(self, *, digests: bool) -> None:
        """Raise `RecoveryError` if the target differs from the source."""
        items, files = self._differing_items(), self._differing_files()
        if items or files:
            raise RecoveryError(
                f"After the copy {items} items and {files} files of the target differ from the source, so the source "
                "is in use. Stop its servers, workers and gateways, and give the same command again."
            )
        if digests:
            self._check_digests()

    def _differing_items(self) -> int:
        differing = 0
        for batch in batches(self._source.table):
            copies = [item._replace(key=copied_key(item.key)) for item in batch if is_copied(item)]
            found = self._target.table.get_many([item.key for item in copies])
            differing += sum(item != other for item, other in zip(copies, found, strict=True))
            differing += sum(map(is_committed, batch))
            self._report.compared_items += len(copies)
            self._show("Comparing items", self._report.compared_items, None)
        in_target = sum(is_copied(item) for item in self._target.table.items())
        return differing or abs(in_target - self._report.compared_items)

    def _differing_files(self) -> int:
        differing = 0
        for one, other in blob_pairs(self._source.blobs, self._target.blobs):
            differing += one is None or other is None or one.size != other.size
            self._report.compared_files += 1
            self._show("Comparing files", self._report.compared_files, None)
        return differing

    def _check_digests(self) -> None:
        """Read each file whose row has a digest. A wrong copy is removed, so that the next attempt makes it again."""
        wrong = []
        for blob, is_wrong in prefetch(self._is_wrong, self._digests(), ahead=_AT_ONCE):
            self._report.compared_digests += 1
            self._show("Comparing digests", self._report.compared_digests, None)
            if is_wrong is None:
                self._report.add_damaged(blob)
            elif is_wrong:
                wrong.append(blob)
        if wrong:
            self._target.blobs.delete(wrong)
            raise RecoveryError(
                f"{len(wrong)} files were not copied rightly, the first is {wrong[0]}. They are removed from the "
                "target. Give the same command again."
            )

    def _is_wrong(self, named: _Named) -> tuple[str, bool | None]:
        """Return the key of a file, and whether its copy is wrong. None: it is lost or damaged in the source too."""
        blob, digest = named
        copied = _digest(self._target.blobs, blob)
        if copied == digest:
            return blob, False
        return blob, None if copied == _digest(self._source.blobs, blob) else True

    def _digests(self) -> Iterator[_Named]:
        for item in self._target.table.items():
            row = _row(item)
            for file in row.files if row else ():
                if row and file.digest:
                    yield keys.blob(row.partition, row.study, row.series, row.instance, file.version), file.digest


def _row(item: Item) -> InstanceRow | None:
    """Return the row that an item is, None if it is something else."""
    partition, _, rest = item.key.pk.partition("/")
    family, _, study = rest.partition("/")
    if family != "study" or not item.key.sk.startswith(keys.INSTANCES.low):
        return None
    return InstanceRow.of(item, int(partition), study)


def _digest(blobs: BlobStore, blob: str) -> str:
    """Return the digest of a file, an empty text if there is none."""
    try:
        with closing(blobs.open(blob)) as stream:
            return digest_of(stream)
    except BlobMissing:
        return ""
