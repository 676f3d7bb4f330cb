"""An examined instance that is to be stored, and how its outcome is reported."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass

import structlog

from app.services.store.examination import ExaminedInstance
from app.services.store.report import EXISTS, FAILED, FailedInstance, StoredInstance, StoreReport
from app.services.store.spool import Spooled
from app.storage.index.plan import NewInstance
from app.storage.index.writer import CommitOutcome, Refusal
from app.storage.records.leftovers import InstanceVersion
from app.storage.records.snapshot import Uids
from app.storage.table.partitions import Partition

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PendingInstance:
    """An examined instance that is to be stored."""

    examined: ExaminedInstance
    body: Spooled
    version: InstanceVersion

    @property
    def uids(self) -> Uids:
        return self.examined.study, self.examined.series, self.examined.instance

    @property
    def bytes_in_memory(self) -> int:
        body = self.body.size if self.body.in_memory else 0
        return body + len(self.examined.metadata) + len(self.examined.frames)

    def new_instance(self) -> NewInstance:
        """Return what the index stores of it."""
        return self.examined.new_instance(self.version, size=self.body.size, digest=self.body.digest)


def new_pending_instance(partition: Partition, examined: ExaminedInstance, body: Spooled) -> PendingInstance:
    """Return an examined instance for a partition, with a version of its own."""
    version = InstanceVersion(
        partition=partition.key,
        study=examined.study,
        series=examined.series,
        instance=examined.instance,
        version=uuid.uuid4().hex,
    )
    return PendingInstance(examined, body, version)


def failed_instance(examined: ExaminedInstance, reason: int) -> FailedInstance:
    """Return the line of the report for an instance that was not stored."""
    return FailedInstance(reason=reason, sop_class=examined.sop_class, instance=examined.instance)


def add_existing(pending: PendingInstance, identical: Collection[InstanceVersion] | None, report: StoreReport) -> None:
    """Report on an instance that exists in the partition.

    `identical` are the pending instances that count as stored, because their bytes are stored. None: that is not known.
    """
    if identical is None:
        report.fail([failed_instance(pending.examined, FAILED)])
    elif pending.version in identical:
        report.stored.append(_stored(pending))
    else:
        report.failed.append(failed_instance(pending.examined, EXISTS))


def add_outcome(pending: PendingInstance, outcome: CommitOutcome | None, report: StoreReport) -> None:
    """Report on an instance that did not exist before. None means that its file could not be written."""
    if not isinstance(outcome, Refusal | None):
        report.stored.append(_stored(pending))
        return
    log.warning("instance not stored", reason=outcome.value if outcome else "its file could not be written")
    failure = failed_instance(pending.examined, FAILED)
    if outcome is None or outcome is Refusal.UNKNOWN:
        report.fail([failure])
    else:
        report.failed.append(failure)


def _stored(pending: PendingInstance) -> StoredInstance:
    examined = pending.examined
    return StoredInstance(
        study=examined.study,
        series=examined.series,
        instance=examined.instance,
        sop_class=examined.sop_class,
        warning=examined.warning,
        comments=examined.comments,
    )
