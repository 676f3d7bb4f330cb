"""The work of an export, one batch in a step (conformance §11.5).

A step continues at its checkpoint. It copies up to 100 files, writes the error lines into the manifest, and returns the
next checkpoint with the totals. A repeated step writes the same files and the same part of the log again, and the
totals change only with the checkpoint. So after a kill -9 the step is repeated, and every instance is counted once.

The error log at the destination is one object, and writing it costs as much as all its lines. It is written when the
number of its parts is a power of two, and at the end.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast

import orjson
from msgspec.structs import replace

from app.errors import (
    BlobMissing,
    BulkheadError,
    DestinationError,
    DestinationRefused,
    LostData,
    NotFound,
    StorageError,
)
from app.services.export.service import LOG_TYPE, log_key
from app.services.export.source import ExportSource, Position, SourceEntry
from app.services.parallel import ParallelMap
from app.storage.operations.destinations import Destination, Opener, target_of
from app.storage.operations.export_manifest import ExportManifest
from app.storage.operations.operations import FAILED, SUCCEEDED, Operation
from app.storage.records.instance_row import InstanceRow
from app.storage.records.losses import FILE, LostObjects
from app.storage.table import clock

BATCH: Final = 100
"""Entries of the source in one step."""

BATCH_BYTES: Final = 1024**3
"""A step ends with the file that reaches this total, so that no step takes long."""

MAX_RETRIES: Final = 3
"""Retries of a step in which every file failed. After them the files are counted as skipped."""

_DICOM: Final = "application/dicom"
_IN_MEMORY: Final = 1024 * 1024


class ExportProgress(NamedTuple):
    """The checkpoint: where the next step continues, the totals, and the number of parts of the error log.

    `ending` is the final status once only the manifest has to be removed.
    """

    position: Position = Position()
    exported: int = 0
    skipped: int = 0
    parts: int = 0
    ending: str = ""

    @staticmethod
    def of(checkpoint: Mapping[str, Any]) -> ExportProgress:
        """Return the progress that a checkpoint holds."""
        if not checkpoint:
            return ExportProgress()
        page, number, after, found = checkpoint["position"]
        position = Position(page, number, tuple(after) if after else None, found)
        return ExportProgress(**{**checkpoint, "position": position})


class ExportOutcome(NamedTuple):
    """The result of one entry: `error` is empty if nothing failed, `cause` is set if another attempt may succeed."""

    error: str = ""
    cause: BulkheadError | None = None


class ExportTask:
    """Runs exports. `openers` are by type of destination. `spool` is the folder for a large error log."""

    def __init__(
        self,
        *,
        source: ExportSource,
        manifest: ExportManifest,
        openers: Mapping[str, Opener],
        lost: LostObjects,
        parallel: ParallelMap,
        spool: Path | None,
    ) -> None:
        self._source = source
        self._manifest = manifest
        self._openers = openers
        self._lost = lost
        self._parallel = parallel
        self._spool = spool

    def step(self, operation: Operation) -> Operation:
        """Export the next batch. The last step but one completes the error log, the last one removes the manifest."""
        progress = ExportProgress.of(operation.checkpoint)
        if progress.ending:
            self._manifest.remove(operation.id)
            return replace(operation, status=progress.ending)
        try:
            destination = self._opened(operation)
        except DestinationRefused:
            return _with_progress(operation, progress._replace(ending=FAILED))
        try:
            return _with_progress(operation, self._next_batch(operation, destination, progress))
        except DestinationRefused:
            with suppress(DestinationError):
                self._write_log(destination, operation.id, progress.parts)
            return _with_progress(operation, progress._replace(ending=FAILED))

    def give_up(self, operation: Operation) -> Operation:
        """Let the operation end as failed. The error log is completed if the destination takes it."""
        progress = ExportProgress.of(operation.checkpoint)
        if progress.ending:
            return replace(operation, status=progress.ending)
        with suppress(BulkheadError):
            self._write_log(self._opened(operation), operation.id, progress.parts)
        return _with_progress(operation, progress._replace(ending=FAILED))

    def _opened(self, operation: Operation) -> Destination:
        target = target_of(operation.request["destination"])
        if target.type not in self._openers:  # the operator removed the type after the export began
            raise DestinationRefused("The type of the destination is not supported any more.")
        return self._openers[target.type](target, operation.id)

    def _next_batch(self, operation: Operation, destination: Destination, progress: ExportProgress) -> ExportProgress:
        entries = self._source.entries(operation.id, operation.request["partition"], progress.position)
        batch, more = _batch(entries)
        outcomes = list(self._parallel(partial(self._outcome, destination, operation.id), batch))
        _raise_if_all_failed(batch, outcomes, operation.attempts)
        lines = [_line(entry, outcome.error) for entry, outcome in zip(batch, outcomes, strict=True) if outcome.error]
        progress = progress._replace(
            position=batch[-1].next if batch else progress.position,
            exported=progress.exported + sum(not entry.covered for entry in batch) - len(lines),
            skipped=progress.skipped + len(lines),
            parts=progress.parts + bool(lines),
            ending="" if more else SUCCEEDED,
        )
        if lines:
            self._manifest.write_log(operation.id, progress.parts, b"".join(lines))
        if progress.ending or (lines and progress.parts.bit_count() == 1):
            self._write_log(destination, operation.id, progress.parts)
        return progress

    def _outcome(self, destination: Destination, operation: str, entry: SourceEntry) -> ExportOutcome:
        if entry.row is None:
            return ExportOutcome() if entry.covered else ExportOutcome(str(NotFound(entry.level)))
        try:
            self._copy(destination, operation, entry.row)
        except DestinationRefused:
            raise
        except BlobMissing:
            return ExportOutcome(str(NotFound("instance")))
        except LostData as error:
            return ExportOutcome(str(error))
        except StorageError as error:
            return ExportOutcome("The file could not be read.", error)
        except DestinationError as error:
            return ExportOutcome("The file could not be written to the destination.", error)
        return ExportOutcome()

    def _copy(self, destination: Destination, operation: str, row: InstanceRow) -> None:
        """Copy a file. Raises `BlobMissing` if the instance was deleted meanwhile, `LostData` if its file is lost."""
        key = f"{operation}/results/{row.study}/{row.series}/{row.instance}.dcm"
        try:
            destination.copy(row.blob, row.size, key, _DICOM)
        except BlobMissing:
            now = self._lost.current_row(row, FILE)
            if now is None:
                raise
            destination.copy(now.blob, now.size, key, _DICOM)  # updated after the row was read

    def _write_log(self, destination: Destination, operation: str, parts: int) -> None:
        """Write the whole error log to the destination."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self._spool) if self._spool else None) as log:
            for part in self._manifest.log_parts(operation, parts):
                log.write(part)
            log.seek(0)
            destination.write(log_key(operation), cast(BinaryIO, log), LOG_TYPE)


def _with_progress(operation: Operation, progress: ExportProgress) -> Operation:
    results = {"errorHref": operation.request["log"], "exported": progress.exported, "skipped": progress.skipped}
    checkpoint = progress._asdict() | {"position": list(progress.position)}
    return replace(operation, checkpoint=checkpoint, results=results)


def _batch(entries: Iterator[SourceEntry]) -> tuple[list[SourceEntry], bool]:
    """Return the entries of one step, and whether there may be more."""
    batch: list[SourceEntry] = []
    size = 0
    for entry in islice(entries, BATCH):
        batch.append(entry)
        size += entry.row.size if entry.row else 0
        if size >= BATCH_BYTES:
            return batch, True
    return batch, len(batch) == BATCH


def _raise_if_all_failed(batch: list[SourceEntry], outcomes: list[ExportOutcome], attempts: int) -> None:
    """Raise the first cause if every entry failed: an outage is more likely than so many bad files."""
    causes = [outcome.cause for outcome in outcomes if outcome.cause]
    copied = any(not outcome.error and not entry.covered for entry, outcome in zip(batch, outcomes, strict=True))
    if causes and attempts <= MAX_RETRIES and not copied:
        raise causes[0]


def _line(entry: SourceEntry, error: str) -> bytes:
    line = {"timestamp": clock.timestamp(clock.now()), "identifier": "/".join(entry.path), "error": error}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
