"""Store: bytes in, instances in a partition out (conformance §3, PS3.18 §10.5).

Bodies are received one after another, examined on their header alone, and committed in batches: blobs first, side by
side, then one write for as many instances as fit (`storage/index/writer.py` tells what a crash leaves behind). What is wrong
with one instance is a line in the report and never touches its neighbours.
"""

from __future__ import annotations

import contextlib
import io
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from app.dicom.encoding.frames import FrameTable
from app.dicom.validation.attributes import ExtendedAttributes
from app.errors import StorageError
from app.services.parallel import ParallelMap
from app.services.policy import Policy
from app.services.store.examination import ExaminedInstance, examine
from app.services.store.report import EXISTS, FAILED, FailedInstance, StoredInstance, StoreReport
from app.services.store.spool import Readable, Spooled, receive
from app.storage.index import sweep
from app.storage.index.plan import NewInstance
from app.storage.index.writer import CommitOutcome, IndexWriter, Refusal
from app.storage.records import documents
from app.storage.records.snapshot import Uids
from app.storage.table import keys
from app.storage.table.partitions import Partition
from app.storage.table.ports import BlobStore, Key

log = structlog.get_logger()

BATCH_INSTANCES: Final = 12
"""Instances committed together: about what one write of a hundred changes takes."""

BATCH_BYTES: Final = 16 * 1024 * 1024
"""Bytes held in memory before a batch is committed, whatever its number."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """An examined instance on its way into the archive."""

    examined: ExaminedInstance
    body: Spooled
    version: sweep.InstanceVersion
    metadata: bytes
    frames: bytes

    @property
    def uids(self) -> Uids:
        return self.examined.study, self.examined.series, self.examined.instance


class Store:
    """Stores instances. `max_instance` in bytes; `spool` is the folder for large bodies in flight."""

    def __init__(
        self,
        index_writer: IndexWriter,
        blobs: BlobStore,
        extended: Callable[[], ExtendedAttributes],
        spread: ParallelMap,
        *,
        max_instance: int,
        spool: Path | None = None,
        full_validation: bool = False,
    ) -> None:
        self._index_writer = index_writer
        self._blobs = blobs
        self._extended = extended
        self._spread = spread
        self._max_instance = max_instance
        self._spool = spool
        self._full_validation = full_validation

    def __call__(
        self, partition: Partition, bodies: Iterable[Readable], study: str | None, policy: Policy
    ) -> StoreReport:
        """Store one instance from each body; `study` is the UID that the request's URL names, if it does.

        Raises `TooLarge` for a body beyond the limit, and what a body raises while it is read; the instances before it
        are stored.
        """
        report = StoreReport(study, policy)
        stream = iter(bodies)
        more = True
        while more:
            batch: list[_Pending] = []
            with ExitStack() as opened:
                try:
                    more = self._fill(batch, partition, stream, report, opened)
                finally:
                    self._commit(partition, batch, report)
        return report

    def _fill(
        self,
        batch: list[_Pending],
        partition: Partition,
        stream: Iterator[Readable],
        report: StoreReport,
        opened: ExitStack,
    ) -> bool:
        """Receive and examine bodies until the batch is full; tell whether there may be more. Refusals are reported."""
        held = 0
        extended: ExtendedAttributes | None = None
        for body in stream:
            received = opened.enter_context(receive(body, self._max_instance, self._spool))
            extended = self._extended() if extended is None else extended
            examined = examine(received.buffer, report.study, report.policy, extended, full=self._full_validation)
            if isinstance(examined, FailedInstance):
                log.info("instance refused", reason=examined.reason)
                report.failed.append(examined)
                continue
            report.multiple_values |= examined.multiple_values
            version = sweep.InstanceVersion(
                partition=partition.key,
                study=examined.study,
                series=examined.series,
                instance=examined.instance,
                version=uuid.uuid4().hex,
            )
            metadata = documents.pack(examined.metadata)
            batch.append(_Pending(examined, received, version, metadata, _packed_frames(examined.frames)))
            held += received.size if received.in_memory else 0
            if len(batch) >= BATCH_INSTANCES or held >= BATCH_BYTES:
                return True
        return False

    def _commit(self, partition: Partition, batch: list[_Pending], report: StoreReport) -> None:
        """Make a batch exist and report on each of it; a failing data store fails the instances it hits."""
        if not batch:
            return
        try:
            snapshot = self._index_writer.read_rows(partition, [each.uids for each in batch])
            fresh = [each for each in batch if not snapshot.exists(each.uids)]
            intents = self._index_writer.record_intents([each.version for each in fresh])
            stored = self._spread(self._put, fresh)
            ready = [(each, intent) for each, intent, done in zip(fresh, intents, stored, strict=True) if done]
            new_instances = [_new_instance(each, intent) for each, intent in ready]
            outcomes = self._index_writer.commit(partition, new_instances, snapshot)
        except StorageError:
            log.exception("store failed")
            report.failed += [_failed(each, FAILED) for each in batch]
            return
        ended: dict[int, CommitOutcome] = {
            id(each): outcome for (each, _), outcome in zip(ready, outcomes, strict=True)
        }
        new = {id(each) for each in fresh}
        for each in batch:
            self._tell(each, ended.get(id(each)), known=id(each) not in new, report=report)

    def _tell(self, each: _Pending, outcome: CommitOutcome | None, *, known: bool, report: StoreReport) -> None:
        if known or outcome is Refusal.EXISTS:
            report.failed.append(_failed(each, EXISTS))
        elif outcome is None or isinstance(outcome, Refusal):
            log.warning("instance not stored", reason=outcome.value if outcome else "its file could not be written")
            report.failed.append(_failed(each, FAILED))
        else:
            examined = each.examined
            report.stored.append(StoredInstance(*each.uids, examined.sop_class, examined.warning, examined.comments))
        if isinstance(outcome, Refusal) and outcome is not Refusal.UNKNOWN:
            self._discard(each)

    def _put(self, each: _Pending) -> bool:
        try:
            self._blobs.put(each.version.blob, each.body.stream())
            if documents.spills(each.metadata):
                self._blobs.put(keys.spilled_metadata(each.version.blob), io.BytesIO(each.metadata))
            if documents.spills(each.frames):
                self._blobs.put(keys.spilled_frames(each.version.blob), io.BytesIO(each.frames))
        except StorageError:
            log.exception("file not written")
            return False
        return True

    def _discard(self, each: _Pending) -> None:
        """Remove the file of a refused instance now; should that fail, its intent comes due."""
        with contextlib.suppress(StorageError):
            self._blobs.delete(keys.files(each.version.blob))


def _new_instance(each: _Pending, intent: Key) -> NewInstance:
    examined = each.examined
    return NewInstance(
        version=each.version,
        sop_class=examined.sop_class,
        transfer_syntax=examined.transfer_syntax,
        size=each.body.size,
        attributes=examined.attributes,
        metadata=each.metadata,
        intent=intent,
        native=_native(examined.frames),
        tags=examined.tags,
        frames=each.frames,
    )


def _native(table: FrameTable | None) -> tuple[int, ...]:
    """Return what the instance's row says of frames that arithmetic finds."""
    simple = table and table.frame_bits and not table.deflated
    return (table.frames, table.start, table.frame_bits, table.word) if table and simple else ()


def _packed_frames(table: FrameTable | None) -> bytes:
    """Return the frame table that lies beside the row: of encapsulated frames, and of deflated files."""
    return table.pack() if table and table.frames and not _native(table) else b""


def _failed(each: _Pending, reason: int) -> FailedInstance:
    return FailedInstance(reason, each.examined.sop_class, each.examined.instance)
