"""How far a bulk update is: its checkpoint, and the results that callers read (conformance §12.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from msgspec.structs import replace

from app.dicom.editing.requested_changes import RequestedChanges, read_changes
from app.storage.operations.operations import FAILED, SUCCEEDED, Operation
from app.storage.table.codec import Record, decode, encode, stored_as
from app.storage.table.partitions import Partition


class Phase(StrEnum):
    """What the next step does to the current study."""

    BEGIN = "begin"
    """Mark the study. Before that, complete or revert an update that was left unfinished."""

    WRITE = "write"
    """Write pending versions, in the order of the watermarks."""

    VERIFY = "verify"
    """Look for instances that were stored in the meantime, and write their pending versions."""

    PUBLISH = "publish"
    """Show all pending versions to readers, with one write."""

    FINISH = "finish"
    """Make the pending versions current, row by row."""

    REVERT = "revert"
    """Remove the pending versions after a failure."""


UNPUBLISHED: Final = frozenset({Phase.WRITE, Phase.VERIFY, Phase.PUBLISH})
"""Phases in which pending versions exist that readers do not see."""

_OLD_NAMES: Final[Mapping[str, Phase]] = {"flip": Phase.PUBLISH, "settle": Phase.FINISH}
"""Phases as earlier releases stored them. An operation that such a release left unfinished must continue."""


class UpdateProgress(Record, frozen=True, kw_only=True):
    """The checkpoint of a bulk update.

    * `study_index`: the index of the current study in the list of the request
    * `position`: where the phase goes on, a watermark in the phase `write`, else a sort key
    * `last_watermark`: the last watermark that the phase `write` covers
    * `revision`, `instances`: the revision of the study row, and the number of pending versions, when last verified
    * `rounds`: how often the study was verified
    * `errors`: lines for the results, about instances that failed
    """

    study_index: int = stored_as("at", default=0)
    phase: Phase = Phase.BEGIN
    position: int | str = stored_as("after", default=0)
    last_watermark: int = stored_as("until", default=0)
    revision: int = 0
    instances: int = 0
    rounds: int = 0
    errors: tuple[str, ...] = stored_as("lines", default=())

    @property
    def checkpoint(self) -> dict[str, Any]:
        """The progress as JSON, for `Operation.checkpoint`."""
        return encode(self)

    @staticmethod
    def of(checkpoint: Mapping[str, Any]) -> UpdateProgress:
        """Return the progress that a checkpoint holds. An empty checkpoint is the start."""
        phase = checkpoint.get("phase", Phase.BEGIN)
        return decode(UpdateProgress, {**checkpoint, "phase": _OLD_NAMES.get(phase, phase)})


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyUpdate:
    """The current study of a bulk update. `continue_with` and `complete` return the operation after a step."""

    operation: Operation
    partition: Partition
    study: str
    changes: RequestedChanges
    progress: UpdateProgress

    @staticmethod
    def of(operation: Operation) -> StudyUpdate:
        """Return the current study of an operation."""
        if not operation.results:
            counts = ("studyProcessed", "studyUpdated", "studyFailed", "instanceUpdated")
            operation = replace(operation, results=dict.fromkeys(counts, 0), percent=0)
        request, progress = operation.request, UpdateProgress.of(operation.checkpoint)
        return StudyUpdate(
            operation=operation,
            partition=Partition(key=request["partition"], name=request["partition_name"], created=""),
            study=request["studies"][progress.study_index],
            changes=read_changes(request["changes"]),
            progress=progress,
        )

    @property
    def update_id(self) -> str:
        """The name of this update in the rows of the study: the id of the operation."""
        return self.operation.id

    def continue_with(self, phase: Phase, **fields: Any) -> Operation:
        """Return the operation with another phase, or another position in the same phase."""
        return replace(self.operation, checkpoint=replace(self.progress, phase=phase, **fields).checkpoint)

    def complete(self, *, updated: bool = False, failed: bool = False, errors: Sequence[str] = ()) -> Operation:
        """Return the operation with this study counted. The next study is the current one, or the operation has ended.

        With neither `updated` nor `failed` the study does not exist (conformance §12.5).
        """
        results = dict(self.operation.results)
        results["studyProcessed"] += 1
        results["studyUpdated"] += updated
        results["studyFailed"] += failed
        results["instanceUpdated"] += self.progress.instances if updated else 0
        if failed:
            summary = f"Failed to update instances for study {self.study}"
            results["errors"] = [*results.get("errors", ()), summary, *errors]
        request, completed = self.operation.request, self.progress.study_index + 1
        studies = len(request["studies"])
        operation = replace(
            self.operation,
            checkpoint=UpdateProgress(study_index=completed).checkpoint,
            results=results,
            percent=100 * completed // studies,
        )
        if completed < studies:
            return operation
        # The new values are patient data. They are not kept for the weeks that a record of an operation is kept.
        without_changes = {name: value for name, value in request.items() if name != "changes"}
        status = FAILED if results["studyFailed"] else SUCCEEDED
        return replace(operation, request=without_changes, status=status)
