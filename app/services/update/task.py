"""The task of a bulk update: one phase of one study, a batch of instances in a step (conformance §12.4).

The phases of a study follow each other as in `progress.Phase`. `storage.updates` describes what each of them writes.
The checkpoint names the phase and the position in it. The rows themselves show which instances are done, so a step that
was killed at any point is simply repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from app.errors import Conflict
from app.services.update.new_versions import Failure, NewVersions
from app.services.update.progress import UNPUBLISHED, Phase, StudyUpdate
from app.storage.operations.operations import Operation
from app.storage.records.rows import InstanceRow, StudyRow
from app.storage.table import keys
from app.storage.table.ports import Holds, Require
from app.storage.updates.study_versions import StudyVersions
from app.storage.updates.version_changes import NewVersion

BATCH: Final = 100
"""Instances in one step."""

MAX_ROUNDS: Final = 200
"""How often a study is verified. Each store into the study during its update costs one more round."""

_MAX_INSTANCE_ERRORS: Final = 5
"""Instances of a failed study that the results name (conformance §12.5)."""


class BulkUpdateTask:
    """Runs the steps of bulk updates."""

    def __init__(self, versions: StudyVersions, files: NewVersions) -> None:
        self._versions = versions
        self._files = files
        self._phases: Mapping[Phase, Callable[[StudyUpdate], Operation]] = {
            Phase.BEGIN: self._begin,
            Phase.WRITE: self._write,
            Phase.VERIFY: self._verify,
            Phase.PUBLISH: self._publish,
            Phase.FINISH: self._finish,
            Phase.REVERT: self._revert,
        }

    def step(self, operation: Operation) -> Operation:
        """Process the next batch. An operation ends as failed if any of its studies failed."""
        update = StudyUpdate.of(operation)
        return self._phases[update.progress.phase](update)

    def give_up(self, operation: Operation) -> Operation:
        """Fail the current study and go on with the next one.

        Pending versions that readers do not see yet are reverted first. Otherwise the next update of the study
        completes what this one left.
        """
        update = StudyUpdate.of(operation)
        if update.progress.phase in UNPUBLISHED:
            return update.continue_with(Phase.REVERT, position="")
        return update.complete(failed=True, errors=update.progress.errors)

    def _begin(self, update: StudyUpdate) -> Operation:
        lease = Require(keys.lease(update.operation.id), Holds("claim", update.operation.claim))
        try:
            study = self._versions.begin(update.partition.key, update.study, update.update_id, lease)
        except Conflict:
            return update.operation  # another worker holds the lease, so the runner cannot save this
        if study is None:
            return update.complete()
        position = str(update.progress.position or "")
        if study.finishing and study.finishing != update.update_id:
            position = self._versions.finish(
                update.partition, update.study, study.finishing, after=position, limit=BATCH
            )
            return update.continue_with(Phase.BEGIN, position=position)
        if study.writing and study.writing != update.update_id:
            position = self._versions.revert(
                update.partition.key, update.study, study.writing, after=position, limit=BATCH
            )
            return update.continue_with(Phase.BEGIN, position=position)
        return update.continue_with(Phase.WRITE, position=0, last_watermark=self._versions.last_watermark())

    def _write(self, update: StudyUpdate) -> Operation:
        study = self._study_being_written(update)
        if study is None:
            return self._continue_after_takeover(update)
        start, end = int(update.progress.position), update.progress.last_watermark
        rows, position = self._versions.unwritten(study, after=start, until=end, limit=BATCH)
        failures = self._write_pending(update, study, rows)
        if failures:
            return update.continue_with(Phase.REVERT, position="", errors=_error_lines(update, failures))
        return update.continue_with(Phase.VERIFY if position == end else Phase.WRITE, position=position)

    def _verify(self, update: StudyUpdate) -> Operation:
        study = self._study_being_written(update)
        if study is None:
            return self._continue_after_takeover(update)
        if update.progress.rounds == MAX_ROUNDS:
            return update.continue_with(Phase.REVERT, position="")
        self._versions.write_pending_series(study, update.changes.elements)
        verified = self._versions.verify(study, BATCH)
        failures = self._write_pending(update, study, verified.missing)
        if failures:
            return update.continue_with(Phase.REVERT, position="", errors=_error_lines(update, failures))
        return update.continue_with(
            Phase.VERIFY if verified.missing else Phase.PUBLISH,
            revision=study.revision,
            instances=verified.written,
            rounds=update.progress.rounds + 1,
        )

    def _publish(self, update: StudyUpdate) -> Operation:
        study = self._study_being_written(update)
        if study is None:
            return self._continue_after_takeover(update)
        # Each store of a new instance raises the revision. If it is still the verified one, no instance is missing.
        unchanged = study.revision == update.progress.revision
        if not unchanged or not self._versions.publish(study, update.changes.elements):
            return update.continue_with(Phase.VERIFY)
        return update.continue_with(Phase.FINISH, position="")

    def _finish(self, update: StudyUpdate) -> Operation:
        position = self._versions.finish(
            update.partition,
            update.study,
            update.update_id,
            after=str(update.progress.position),
            limit=BATCH,
            new_values=update.changes.elements,
        )
        return update.continue_with(Phase.FINISH, position=position) if position else update.complete(updated=True)

    def _revert(self, update: StudyUpdate) -> Operation:
        position = self._versions.revert(
            update.partition.key,
            update.study,
            update.update_id,
            after=str(update.progress.position),
            limit=BATCH,
        )
        if position:
            return update.continue_with(Phase.REVERT, position=position)
        return update.complete(failed=True, errors=update.progress.errors)

    # --- pieces ---

    def _study_being_written(self, update: StudyUpdate) -> StudyRow | None:
        """Return the row of the study. None if it does not name this update as its writer any more."""
        study = self._versions.rows.study(update.partition.key, update.study)
        return study if study and study.writing == update.update_id else None

    def _continue_after_takeover(self, update: StudyUpdate) -> Operation:
        """Continue with a study that this update does not write any more.

        Either another worker has published it while this one was late, or it was deleted. Then there is nothing to
        revert.
        """
        study = self._versions.rows.study(update.partition.key, update.study)
        published = study and study.update_id == update.update_id
        return update.continue_with(Phase.FINISH if published else Phase.REVERT, position="")

    def _write_pending(self, update: StudyUpdate, study: StudyRow, rows: Sequence[InstanceRow]) -> list[Failure]:
        """Write pending versions of all given instances, or of none. Return the instances that failed.

        An instance that was deleted in the meantime is not a failure.
        """
        if not rows:
            return []
        versions, failures, intents = self._files.make(rows, update.changes)
        failures = [each for each in failures if self._versions.rows.reread(each.row)]
        written: list[NewVersion] = []
        if not failures:
            abandoned = self._versions.write_pending(study, versions, update.changes.elements, intents)
            unused = {each.version for each in abandoned}
            written = [each for each in versions if each.version not in unused]
        intents.end(each.version for each in written)
        return failures


def _error_lines(update: StudyUpdate, failures: Sequence[Failure]) -> tuple[str, ...]:
    """Return the lines of the results for instances that failed: one each for the first five."""
    lines = [
        f"{each.reason} PartitionKey: {update.partition.name}, StudyInstanceUID: {each.row.study}, "
        f"SeriesInstanceUID: {each.row.series}, SOPInstanceUID: {each.row.instance}"
        for each in failures[:_MAX_INSTANCE_ERRORS]
    ]
    more = ("There are more instances failed",) if len(failures) > _MAX_INSTANCE_ERRORS else ()
    return (*lines, *more)
