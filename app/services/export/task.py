"""The work of an export, a batch a step (conformance §11.5).

A step reads on from its checkpoint, copies up to 100 files, keeps the lines for the error log, and hands back the next
checkpoint with the totals. Files and lines lie under names that a repeated step finds again, and totals change only
with the checkpoint: a step that died anywhere is simply done again, and every instance is counted once.

The error log is joined of the lines kept so far whenever their parts are a power of two, and at the end: rewriting it
with each batch would send the lines of a long one over and over.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, BinaryIO, Final, NamedTuple, cast

import orjson

from app.errors import BlobMissing, BulkheadError, DestinationError, DestinationRefused, NotFound, StorageError
from app.services.export.service import LOG_TYPE, log_key
from app.services.export.source import ExportSource, Position, SourceEntry
from app.services.parallel import ParallelMap
from app.storage.operations.destinations import Destination, Opener, target_of
from app.storage.operations.export_manifest import ExportManifest
from app.storage.operations.operations import FAILED, SUCCEEDED, Operation
from app.storage.records.instance_row import InstanceRow
from app.storage.table import clock

BATCH: Final = 100
"""Files, or identifiers that lead to none, in one step."""

BATCH_BYTES: Final = 1024**3
"""A step ends with the file that reaches this size, so that none takes long."""

PATIENCE: Final = 3
"""How often a step of which no file could be copied is tried again before its files are given up."""

_DICOM: Final = "application/dicom"
_IN_MEMORY: Final = 1024 * 1024


class ExportProgress(NamedTuple):
    """The checkpoint: where the next step reads on, the totals, and how many parts of the error log there are;
    `ending` is the final status once nothing but tidying is left."""

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
        page, at, after, found = checkpoint["position"]
        return ExportProgress(**{**checkpoint, "position": Position(page, at, tuple(after) if after else None, found)})


class ExportOutcome(NamedTuple):
    """What became of an entry: nothing to say when its file was copied; `cause` if it may go better another time."""

    error: str = ""
    cause: BulkheadError | None = None


class ExportTask:
    """Does exports, on the openers by type of destination."""

    def __init__(
        self, source: ExportSource, manifest: ExportManifest, openers: Mapping[str, Opener], spread: ParallelMap
    ) -> None:
        self._source = source
        self._manifest = manifest
        self._openers = openers
        self._spread = spread

    def step(self, operation: Operation) -> Operation:
        """Export the next batch. The last step but one completes the error log, the last removes what was kept."""
        progress = ExportProgress.of(operation.checkpoint)
        if progress.ending:
            self._manifest.remove(operation.id)
            return replace(operation, status=progress.ending)
        try:
            destination = self._opened(operation)
        except DestinationRefused:
            return _kept(operation, progress._replace(ending=FAILED))
        try:
            return _kept(operation, self._advanced(operation, destination, progress))
        except DestinationRefused:
            with suppress(DestinationError):
                self._show(destination, operation.id, progress.parts)
            return _kept(operation, progress._replace(ending=FAILED))

    def give_up(self, operation: Operation) -> Operation:
        """Let it end as failed, with an error log as complete as can be."""
        progress = ExportProgress.of(operation.checkpoint)
        if progress.ending:
            return replace(operation, status=progress.ending)
        with suppress(BulkheadError):
            self._show(self._opened(operation), operation.id, progress.parts)
        return _kept(operation, progress._replace(ending=FAILED))

    def _opened(self, operation: Operation) -> Destination:
        target = target_of(operation.request["destination"])
        if target.type not in self._openers:  # the operator took it away since
            raise DestinationRefused("The type of the destination is not supported any more.")
        return self._openers[target.type](target, operation.id)

    def _advanced(self, operation: Operation, destination: Destination, progress: ExportProgress) -> ExportProgress:
        entries = self._source.entries(operation.id, operation.request["partition"], progress.position)
        batch, whole = _batch(entries)
        outcomes = list(self._spread(partial(self._outcome, destination, operation.id), batch))
        _despair(outcomes, operation.attempts)
        lines = [_line(entry, outcome.error) for entry, outcome in zip(batch, outcomes, strict=True) if outcome.error]
        progress = progress._replace(
            position=batch[-1].onwards if batch else progress.position,
            exported=progress.exported + len(batch) - len(lines),
            skipped=progress.skipped + len(lines),
            parts=progress.parts + bool(lines),
            ending="" if whole else SUCCEEDED,
        )
        if lines:
            self._manifest.log(operation.id, progress.parts, b"".join(lines))
        if progress.ending or (lines and progress.parts.bit_count() == 1):
            self._show(destination, operation.id, progress.parts)
        return progress

    def _outcome(self, destination: Destination, operation: str, entry: SourceEntry) -> ExportOutcome:
        if entry.row is None:
            return ExportOutcome(str(NotFound(entry.level)))
        try:
            self._copy(destination, operation, entry.row)
        except DestinationRefused:
            raise
        except BlobMissing:
            return ExportOutcome(str(NotFound("instance")))
        except StorageError as error:
            return ExportOutcome("The file could not be read.", error)
        except DestinationError as error:
            return ExportOutcome("The file could not be written to the destination.", error)
        return ExportOutcome()

    def _copy(self, destination: Destination, operation: str, row: InstanceRow) -> None:
        key = f"{operation}/results/{row.study}/{row.series}/{row.instance}.dcm"
        try:
            destination.copy(row.blob, row.size, key, _DICOM)
        except BlobMissing:
            now = self._source.again(row)
            if now is None or now.version == row.version:
                raise
            destination.copy(now.blob, now.size, key, _DICOM)  # updated since the row was read

    def _show(self, destination: Destination, operation: str, parts: int) -> None:
        """Write the error log whole, to the destination."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as log:
            for part in self._manifest.logged(operation, parts):
                log.write(part)
            log.seek(0)
            destination.write(log_key(operation), cast(BinaryIO, log), LOG_TYPE)


def _kept(operation: Operation, progress: ExportProgress) -> Operation:
    results = {"errorHref": operation.request["log"], "exported": progress.exported, "skipped": progress.skipped}
    checkpoint = progress._asdict() | {"position": list(progress.position)}
    return replace(operation, checkpoint=checkpoint, results=results)


def _batch(entries: Iterator[SourceEntry]) -> tuple[list[SourceEntry], bool]:
    """Return the entries of one step, and whether they fill it; if not, they are the last ones."""
    taken: list[SourceEntry] = []
    size = 0
    for entry in islice(entries, BATCH):
        taken.append(entry)
        size += entry.row.size if entry.row else 0
        if size >= BATCH_BYTES:
            return taken, True
    return taken, len(taken) == BATCH


def _despair(outcomes: list[ExportOutcome], attempts: int) -> None:
    """Raise what stood in the way of every file: more likely an outage than so many bad files."""
    causes = [outcome.cause for outcome in outcomes if outcome.cause]
    if causes and attempts <= PATIENCE and all(outcome.error for outcome in outcomes):
        raise causes[0]


def _line(entry: SourceEntry, error: str) -> bytes:
    said = {"timestamp": clock.timestamp(clock.now()), "identifier": "/".join(entry.path), "error": error}
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)
