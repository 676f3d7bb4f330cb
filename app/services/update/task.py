"""The work of a bulk update, a batch a step (conformance §12.4). `storage/updates/study_versions.py` tells what happens to a study.

A study goes through phases: `begin` (and what an earlier update left there is put in order), `write`, `verify` that no
instance was stored meanwhile, `flip`, `settle`; after a failure `revert`. The checkpoint says where in which phase;
what is done already is read from the rows, so that a step that died anywhere is simply done again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from app.dicom.editing.requested_changes import RequestedChanges, read_changes
from app.errors import Conflict
from app.services.update.new_versions import Failure, NewVersions
from app.storage.operations.operations import FAILED, SUCCEEDED, Operation
from app.storage.records.rows import InstanceRow, StudyRow
from app.storage.table import keys
from app.storage.table.partitions import Partition
from app.storage.table.ports import Holds, Require
from app.storage.updates.study_versions import StudyVersions

BATCH: Final = 100
"""Instances in one step."""

MAX_ROUNDS: Final = 200
"""How often a study is verified in vain: as many instances may be stored, one after another, while it is updated."""

_LINES: Final = 5
_UNSEEN: Final = frozenset({"write", "verify", "flip"})
"""Phases in which readers do not see yet what was written."""


@dataclass(frozen=True, slots=True)
class UpdateProgress:
    """The checkpoint: `at` which study and phase; `after` is where the phase goes on, a watermark or a sort key.

    `until` is the watermark up to which instances are written in their order; `revision` the study row's when all were
    verified, `instances` how many they were, `rounds` how often that was tried; `lines` tell what failed.
    """

    at: int = 0
    phase: str = "begin"
    after: int | str = 0
    until: int = 0
    revision: int = 0
    instances: int = 0
    rounds: int = 0
    lines: tuple[str, ...] = ()

    @staticmethod
    def of(checkpoint: Mapping[str, Any]) -> UpdateProgress:
        """Return the progress that a checkpoint holds."""
        return UpdateProgress(**{**checkpoint, "lines": tuple(checkpoint.get("lines", ()))})


@dataclass(frozen=True, slots=True)
class _Job:
    """One study of an operation."""

    operation: Operation
    partition: Partition
    study: str
    changes: RequestedChanges
    progress: UpdateProgress

    @property
    def update_id(self) -> str:
        return self.operation.id

    def go(self, phase: str, **changed: Any) -> Operation:
        """Return the operation with its checkpoint moved on."""
        moved = replace(self.progress, phase=phase, **changed)
        return replace(self.operation, checkpoint=asdict(moved))

    def end(self, *, updated: bool = False, failed: bool = False, lines: Sequence[str] = ()) -> Operation:
        """Return the operation with this study counted, at the next one."""
        results = dict(self.operation.results)
        results["studyProcessed"] += 1
        results["studyUpdated"] += updated
        results["studyFailed"] += failed
        results["instanceUpdated"] += self.progress.instances if updated else 0
        if failed:
            line = f"Failed to update instances for study {self.study}"
            results["errors"] = [*results.get("errors", ()), line, *lines]
        asked, at = self.operation.request, self.progress.at + 1
        studies = len(asked["studies"])
        moved = replace(
            self.operation, checkpoint=asdict(UpdateProgress(at)), results=results, percent=100 * at // studies
        )
        if at < studies:
            return moved
        # What is known of a patient is not kept for as long as operations are.
        told = {name: member for name, member in asked.items() if name != "changes"}
        return replace(moved, request=told, status=FAILED if results["studyFailed"] else SUCCEEDED)


class BulkUpdateTask:
    """Does bulk updates."""

    def __init__(self, versions: StudyVersions, files: NewVersions) -> None:
        self._versions = versions
        self._files = files
        self._phases: Mapping[str, Callable[[_Job], Operation]] = {
            "begin": self._begin,
            "write": self._write,
            "verify": self._verify,
            "flip": self._publish,
            "settle": self._finish,
            "revert": self._revert,
        }

    def step(self, operation: Operation) -> Operation:
        """Do the next batch. The operation has failed at its end if any of its studies has."""
        job = _job(operation)
        return self._phases[job.progress.phase](job)

    def give_up(self, operation: Operation) -> Operation:
        """Take back what was written of the study in hand, or leave that to its next update; go on with the next."""
        job = _job(operation)
        if job.progress.phase in _UNSEEN:
            return job.go("revert", after="")
        return job.end(failed=True, lines=job.progress.lines)

    def _begin(self, job: _Job) -> Operation:
        lease = Require(keys.lease(job.operation.id), Holds("claim", job.operation.claim))
        try:
            study = self._versions.begin(job.partition.key, job.study, job.update_id, lease)
        except Conflict:
            return job.operation  # another worker has it, and this will not be saved
        if study is None:
            return job.end()
        if study.finishing and study.finishing != job.update_id:
            after = self._versions.finish(
                job.partition, job.study, study.finishing, str(job.progress.after or ""), BATCH
            )
            return job.go("begin", after=after)
        if study.writing and study.writing != job.update_id:
            after = self._versions.revert(
                job.partition.key, job.study, study.writing, str(job.progress.after or ""), BATCH
            )
            return job.go("begin", after=after)
        return job.go("write", after=0, until=self._versions.newest())

    def _write(self, job: _Job) -> Operation:
        study = self._writable(job)
        if study is None:
            return self._astray(job)
        rows, after = self._versions.older(study, int(job.progress.after), job.progress.until, BATCH)
        failures = self._written(job, study, rows)
        if failures:
            return job.go("revert", after="", lines=_lines(job, failures))
        return job.go("verify" if after == job.progress.until else "write", after=after)

    def _verify(self, job: _Job) -> Operation:
        study = self._writable(job)
        if study is None:
            return self._astray(job)
        if job.progress.rounds == MAX_ROUNDS:
            return job.go("revert", after="")
        self._versions.mark_series(study, job.changes.elements)
        found = self._versions.verify(study, BATCH)
        failures = self._written(job, study, found.missing)
        if failures:
            return job.go("revert", after="", lines=_lines(job, failures))
        return job.go(
            "verify" if found.missing else "flip",
            revision=study.revision,
            instances=found.written,
            rounds=job.progress.rounds + 1,
        )

    def _publish(self, job: _Job) -> Operation:
        study = self._writable(job)
        if study is None:
            return self._astray(job)
        if study.revision != job.progress.revision or not self._versions.publish(study, job.changes.elements):
            return job.go("verify")
        return job.go("settle", after="")

    def _finish(self, job: _Job) -> Operation:
        after = self._versions.finish(
            job.partition, job.study, job.update_id, str(job.progress.after), BATCH, job.changes.elements
        )
        return job.go("settle", after=after) if after else job.end(updated=True)

    def _revert(self, job: _Job) -> Operation:
        after = self._versions.revert(job.partition.key, job.study, job.update_id, str(job.progress.after), BATCH)
        return job.go("revert", after=after) if after else job.end(failed=True, lines=job.progress.lines)

    # --- pieces ---

    def _writable(self, job: _Job) -> StudyRow | None:
        """Return the study's row while it is this operation's to write."""
        study = self._versions.rows.study(job.partition.key, job.study)
        return study if study and study.writing == job.update_id else None

    def _astray(self, job: _Job) -> Operation:
        """Go on with a study that is not to be written any more: it is shown already, or it was deleted."""
        study = self._versions.rows.study(job.partition.key, job.study)
        return job.go("settle" if study and study.update_id == job.update_id else "revert", after="")

    def _written(self, job: _Job, study: StudyRow, rows: Sequence[InstanceRow]) -> list[Failure]:
        """Write new versions of some instances, all or none; return what failed of those that are still there."""
        made, failures = self._files.make(rows, job.changes)
        failures = [each for each in failures if self._versions.rows.again(each.row)]
        lost = made if failures else self._versions.write(study, made, job.changes.elements)
        if lost:
            self._files.discard(lost)
        return failures


def _job(operation: Operation) -> _Job:
    """Return the study that an operation has in hand."""
    if not operation.results:
        counts = ("studyProcessed", "studyUpdated", "studyFailed", "instanceUpdated")
        operation = replace(operation, results=dict.fromkeys(counts, 0), percent=0)
    asked, progress = operation.request, UpdateProgress.of(operation.checkpoint)
    return _Job(
        operation,
        Partition(asked["partition"], asked["partition_name"], ""),
        asked["studies"][progress.at],
        read_changes(asked["changes"]),
        progress,
    )


def _lines(job: _Job, failures: Sequence[Failure]) -> tuple[str, ...]:
    """What results tell of instances that failed: five of them, and whether there are more."""
    lines = [
        f"{each.reason} PartitionKey: {job.partition.name}, StudyInstanceUID: {each.row.study}, "
        f"SeriesInstanceUID: {each.row.series}, SOPInstanceUID: {each.row.instance}"
        for each in failures[:_LINES]
    ]
    return (*lines, "There are more instances failed") if len(failures) > _LINES else tuple(lines)
