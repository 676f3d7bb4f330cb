"""The check of one study: its rows against its files, documents, postings, numbers and the change feed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import orjson

from app.errors import LostData, StorageError
from app.services.digest import digest_of
from app.services.recovery.file_order import InstanceFilesFound, side_by_side
from app.services.recovery.findings import Fault, FaultKind, Subject
from app.services.retrieve.frames import FrameReader
from app.storage.index.counts import InstanceCounts, StudyContents
from app.storage.index.statistics import stored_size
from app.storage.records import documents, postings
from app.storage.records.packed_documents import unpack
from app.storage.records.rows import InstanceRow, SeriesRow, StudyRow, belongs_to
from app.storage.search.unposted import last_undated
from app.storage.table import keys
from app.storage.table.ports import BlobStore, Item, Key, Table

STUDY: Final = "study"
"""The name of this check in a `Subject`. The subject has a partition key and a Study Instance UID."""

_PIXEL_DATA: Final = ("7FE00010", "7FE00008", "7FE00009")
_CHECKED_TOGETHER: Final = 25
"""Instances whose documents and postings are read together. Their documents take 9 MB at most."""


def study_subject(partition: int, study: str) -> Subject:
    return Subject(STUDY, (str(partition), study))


@dataclass(slots=True)
class CheckedStudy:
    """What the check of a study found. The numbers are those of the rows, hidden ones included."""

    faults: list[Fault] = field(default_factory=list)
    studies: int = 0
    instances: int = 0
    bytes: int = 0
    files: int = 0


class StudyCheck:
    """Checks studies. `created` has the watermarks of the Create entries of the change feed. `digests`: compare the
    bytes of the files too."""

    def __init__(
        self,
        table: Table,
        blobs: BlobStore,
        *,
        frames: FrameReader,
        created: Container[int],
        digests: bool = False,
    ) -> None:
        self._table = table
        self._blobs = blobs
        self._frames = frames
        self._counts = InstanceCounts(table)
        self._created = created
        self._digests = digests
        self._last_undated = last_undated(table)

    def check(self, subject: Subject) -> CheckedStudy:
        """Check one study. A study that does not exist any more has no faults."""
        partition, study = int(subject.at[0]), subject.at[1]
        item = self._table.get(keys.study(partition, study))
        if item is None:
            return CheckedStudy()
        row = StudyRow.of(item, partition, study)
        return _OneStudy(self, row, item, subject).checked

    # --- the parts of an archive that the checks of a study read ---

    def rows(self, study: StudyRow) -> Iterator[Item]:
        return self._table.query(keys.study_items(study.partition, study.study), keys.INSTANCES)

    def blobs(self, study: StudyRow) -> Iterator[InstanceFilesFound]:
        rows = (InstanceRow.of(item, study.partition, study.study) for item in self.rows(study))
        return side_by_side(rows, self._blobs.listed(keys.blobs_of(study.partition, study.study)))

    def contents(self, study: StudyRow) -> StudyContents:
        return self._counts.contents(study)

    def numbers(self, series: Sequence[SeriesRow]) -> list[int]:
        return self._counts.of_series(series)

    def get_many(self, wanted: Sequence[Key]) -> list[Item | None]:
        return self._table.get_many(wanted)

    def may_lack(self, posting: Key) -> bool:
        """Return whether a posting may be missing, because an earlier layout wrote the row (`search/unposted.py`)."""
        return keys.is_period(posting) and keys.number_of(posting) <= self._last_undated

    def has_create_entry(self, row: InstanceRow) -> bool:
        return row.created in self._created

    def has_wrong_digest(self, blob: str, digest: str) -> bool:
        """Return whether a file has another digest. A version of an older release has no digest to compare."""
        if not self._digests or not digest:
            return False
        with self._blobs.open(blob) as stream:
            return digest_of(stream) != digest

    def lacks_frame_table(self, row: InstanceRow, metadata: Item) -> bool:
        """Return whether a row without a frame table needs one. Only the file shows it, if it has pixel data."""
        if "spilled" not in metadata.fields and not _has_pixel_data(metadata.data):
            return False
        try:
            self._frames.table(row)
        except LostData:
            return True
        except StorageError:
            return False  # the file is missing, which is a fault of its own
        return False


class _OneStudy:
    """The check of one study. `checked` is its result."""

    def __init__(self, archive: StudyCheck, study: StudyRow, item: Item, subject: Subject) -> None:
        self.checked = CheckedStudy(studies=1)
        self._archive = archive
        self._study = study
        self._subject = subject
        self._walked: Counter[int] = Counter()
        before = archive.contents(study)
        numbers_before = self._numbers(before)
        self._series = {row.series: row for row in before.series}
        self._check_instances()
        if study.closing:
            return  # the cleanup of the deletion removes its rows
        self._check_postings([item, *(row.item for row in before.series)])
        after = archive.contents(study)
        if numbers_before == self._numbers(after):
            self._check_numbers(numbers_before)

    def _numbers(self, contents: StudyContents) -> dict[int, tuple[str, int]]:
        """Return the number of instances of each visible series, by the `created` number of its row."""
        rows = contents.series
        return {
            row.created: (row.series, number) for row, number in zip(rows, self._archive.numbers(rows), strict=True)
        }

    def _add(
        self,
        kind: FaultKind,
        *,
        series: str = "",
        instance: str = "",
        version: str = "",
        target: Key | None = None,
        detail: str = "",
    ) -> None:
        fault = Fault(
            kind=kind,
            subject=self._subject,
            partition=self._study.partition,
            study=self._study.study,
            series=series,
            instance=instance,
            version=version,
            target=target,
            detail=detail,
        )
        self.checked.faults.append(fault)

    def _add_of(
        self, row: InstanceRow, kind: FaultKind, *, version: str = "", target: Key | None = None, detail: str = ""
    ) -> None:
        self._add(kind, series=row.series, instance=row.instance, version=version, target=target, detail=detail)

    # --- instances ---

    def _check_instances(self) -> None:
        found = self._archive.blobs(self._study)
        while batch := list(islice(found, _CHECKED_TOGETHER)):
            visible = []
            for each in batch:
                if each.row:
                    self._count(each.row)
                    if self._is_visible(each.row):
                        visible.append(each.row)
                        self._check_files(each.row, each)
                self._check_orphans(each)
            documents_found = self._check_documents(visible, batch)
            self._check_frames(visible, documents_found)
            self._check_postings([row.item for row in visible])

    def _count(self, row: InstanceRow) -> None:
        self.checked.instances += 1
        self.checked.bytes += stored_size(row)
        self._walked[row.of_series] += 1

    def _is_visible(self, row: InstanceRow) -> bool:
        """Return whether the rows above the instance are there. An instance in a closing series is being removed."""
        series = self._series.get(row.series)
        if self._study.closing or (series and belongs_to(row, series, self._study)):
            return not self._study.closing
        if row.series not in self._series or not series:
            stored = self._archive.get_many([keys.series(row.partition, row.study, row.series)])[0]
            if stored and stored.fields.get("closing"):
                return False
        self._add_of(row, FaultKind.ORPHAN_ROW, target=row.key)
        return False

    def _check_files(self, row: InstanceRow, found: InstanceFilesFound) -> None:
        sizes = {name.version: blob.size for name, blob in found.blobs if name.kind == "dcm"}
        for file in row.files:
            self.checked.files += 1
            version = row.with_file(file)
            if file.version not in sizes:
                self._add_of(row, FaultKind.LOST_FILE, version=file.version, detail=version.blob)
            elif sizes[file.version] != file.size:
                detail = f"{version.blob} has {sizes[file.version]} bytes, the row says {file.size}"
                self._add_of(row, FaultKind.WRONG_SIZE, version=file.version, detail=detail)
            elif self._archive.has_wrong_digest(version.blob, file.digest):
                self._add_of(row, FaultKind.WRONG_DIGEST, version=file.version, detail=version.blob)
        if not self._archive.has_create_entry(row):
            self._add_of(row, FaultKind.NO_CREATE_ENTRY, detail=f"watermark {row.created}")

    def _check_orphans(self, found: InstanceFilesFound) -> None:
        versions = {file.version for file in found.row.files} if found.row else set()
        for name, blob in found.blobs:
            if name.version not in versions:
                self._add(
                    FaultKind.ORPHAN_BLOB,
                    series=name.series,
                    instance=name.instance,
                    version=name.version,
                    detail=f"{blob.key}, {blob.size} bytes",
                )

    # --- documents ---

    def _check_documents(
        self, rows: Sequence[InstanceRow], batch: Sequence[InstanceFilesFound]
    ) -> dict[Key, Item | None]:
        versions = [row.with_file(file) for row in rows for file in row.files]
        wanted = [key for version in versions for key in documents.keys_of(version)]
        found = dict(zip(wanted, self._archive.get_many(wanted), strict=True))
        blobs = {blob.key for each in batch for _, blob in each.blobs}
        for version in versions:
            metadata, frames = documents.keys_of(version)
            if _is_lost(found[metadata], keys.spilled_metadata(version.blob), blobs):
                self._add_of(version, FaultKind.LOST_METADATA, version=version.version, target=metadata)
            if found[frames] and _is_lost(found[frames], keys.spilled_frames(version.blob), blobs):
                self._add_of(version, FaultKind.LOST_FRAMES, version=version.version, target=frames)
        return found

    def _check_frames(self, rows: Sequence[InstanceRow], found: dict[Key, Item | None]) -> None:
        for row in rows:
            metadata, frames = documents.keys_of(row)
            item = found[metadata]
            if not row.native and not found[frames] and item and self._archive.lacks_frame_table(row, item):
                self._add_of(row, FaultKind.LOST_FRAMES, version=row.version, target=frames)

    # --- postings and numbers ---

    def _check_postings(self, items: Sequence[Item]) -> None:
        expected = [(item, key) for item in items for key in postings.entries_of(item)]
        present = self._archive.get_many([key for _, key in expected])
        for (item, key), entry in zip(expected, present, strict=True):
            if entry is None and not self._archive.may_lack(key):
                _, series, instance = (*item.key.sk.split("/"), "", "")[:3]
                detail = f"{key.pk} of the row {item.key.sk}"  # without the sort key, which may be a name
                self._add(FaultKind.LOST_POSTING, series=series, instance=instance, target=key, detail=detail)

    def _check_numbers(self, numbers: dict[int, tuple[str, int]]) -> None:
        for created, (series, number) in numbers.items():
            if number != self._walked[created]:
                detail = f"{number} instances are counted, {self._walked[created]} exist"
                self._add(FaultKind.WRONG_COUNT, series=series, detail=detail)


def _is_lost(item: Item | None, blob: str, blobs: Iterable[str]) -> bool:
    """Return whether a document is missing: its item, or the blob that its item stands for."""
    return item is None or ("spilled" in item.fields and blob not in blobs)


def _has_pixel_data(packed: bytes) -> bool:
    document = orjson.loads(unpack(packed))
    return any(tag in document for tag in _PIXEL_DATA)
