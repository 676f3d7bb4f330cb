"""Store: bodies in, instances in a partition out (conformance §3, PS3.18 §10.5).

Bodies are received one after another. Only their headers are parsed. Instances are committed in batches: first their
files, in parallel, then one write for as many instances as fit. `storage/index/writer.py` says what a crash leaves
behind. A fault of one instance becomes a line in the report and never affects the other instances.

If the data store fails, the instances that it affects fail with 272. If nothing was stored, there is nothing to report:
the request fails as a whole, and the client sends it again (conformance §3.2).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import structlog

from app.dicom.json.model import Inline
from app.dicom.validation.attributes import ExtendedAttributes
from app.errors import StorageError, StorageUnavailable
from app.services.digest import FileDigest
from app.services.parallel import ParallelMap
from app.services.policy import Policy
from app.services.store.examination import ExaminedInstance, examine
from app.services.store.pending import PendingInstance, add_existing, add_outcome, failed_instance, new_pending_instance
from app.services.store.report import FAILED, FailedInstance, StoreReport
from app.services.store.spool import Readable, Spooled, receive
from app.storage.index.writer import MAX_INSTANCES, IndexWriter, Refusal
from app.storage.records import documents
from app.storage.records.leftovers import InstanceVersion
from app.storage.table import keys
from app.storage.table.partitions import Partition
from app.storage.table.ports import BlobStore

log = structlog.get_logger()

BATCH_INSTANCES: Final = MAX_INSTANCES
"""Instances committed together: as many as one transaction takes."""

BATCH_BYTES: Final = 16 * 1024 * 1024
"""Bytes of bodies, metadata and frame tables in memory at which a batch is committed."""


class Store:
    """Stores instances.

    `extended` returns the attributes of the extended query tags. `max_instance` is in bytes. `spool` is the folder for
    large bodies, None for the one of the system. `direct_spool` says whether they are written past the page cache.
    `full_validation` is the setting for validating every element. `identical_is_success` says whether an instance
    counts as stored if the same bytes are stored under its UIDs. `inline` is as in `examine`.
    """

    def __init__(
        self,
        *,
        index_writer: IndexWriter,
        blobs: BlobStore,
        extended: Callable[[], ExtendedAttributes],
        parallel: ParallelMap,
        max_instance: int,
        spool: Path | None = None,
        direct_spool: bool = False,
        full_validation: bool = False,
        identical_is_success: bool = False,
        inline: Inline = Inline(),  # noqa: B008 - it is immutable
    ) -> None:
        self._index_writer = index_writer
        self._blobs = blobs
        self._extended = extended
        self._parallel = parallel
        self._max_instance = max_instance
        self._spool = spool
        self._direct_spool = direct_spool
        self._full_validation = full_validation
        self._identical_is_success = identical_is_success
        self._inline = inline

    def __call__(
        self, partition: Partition, bodies: Iterable[Readable], study: str | None, policy: Policy
    ) -> StoreReport:
        """Store one instance from each body. `study` is the UID in the URL of the request, if there is one.

        Raises `TooLarge` for a body beyond the limit, and every error of reading a body. The instances of the bodies
        before it are stored. Raises `StorageUnavailable` when the data store fails before an instance is stored. The
        bodies after that are not read. Instances may exist whose write has lost its answer.
        """
        report = StoreReport(study, policy)
        remaining = iter(bodies)
        more = True
        while more:
            batch: list[PendingInstance] = []
            with ExitStack() as opened:
                try:
                    more = self._fill(batch, partition, remaining, report, opened)
                finally:
                    self._commit(partition, batch, report)
            if report.unavailable and not report.stored:
                raise StorageUnavailable
        return report

    def _fill(
        self,
        batch: list[PendingInstance],
        partition: Partition,
        bodies: Iterator[Readable],
        report: StoreReport,
        opened: ExitStack,
    ) -> bool:
        """Receive and examine bodies until the batch is full. Refused instances go into the report.

        Returns whether there may be more bodies. A batch without tags ends at once: it cannot be stored.
        """
        in_memory = 0
        extended: ExtendedAttributes | None = None
        for body in bodies:
            if extended is None:
                extended = self._read_extended()
            try:
                received = opened.enter_context(self._receive(body))
                examined = self._examine(received, report, extended or {})
            except StorageUnavailable:
                log.exception("a body was not spooled")
                report.fail([FailedInstance(reason=FAILED)])
                continue
            if isinstance(examined, FailedInstance):
                log.info("instance refused", reason=examined.reason)
                report.failed.append(examined)
                continue
            if extended is None:
                report.fail([failed_instance(examined, FAILED)])
                return True
            report.multiple_values |= examined.multiple_values
            pending = new_pending_instance(partition, examined, received)
            batch.append(pending)
            in_memory += pending.bytes_in_memory
            if len(batch) >= BATCH_INSTANCES or in_memory >= BATCH_BYTES:
                return True
        return False

    def _receive(self, body: Readable) -> Spooled:
        return receive(body, self._max_instance, self._spool, FileDigest(), direct=self._direct_spool)

    def _read_extended(self) -> ExtendedAttributes | None:
        """Return the attributes of the extended query tags, None if the data store fails."""
        try:
            return self._extended()
        except StorageError:
            log.exception("the extended query tags were not read")
            return None

    def _examine(
        self, received: Spooled, report: StoreReport, extended: ExtendedAttributes
    ) -> ExaminedInstance | FailedInstance:
        return examine(
            received.buffer,
            report.study,
            report.policy,
            extended,
            full=self._full_validation,
            folder=self._spool,
            inline=self._inline,
        )

    def _commit(self, partition: Partition, batch: Sequence[PendingInstance], report: StoreReport) -> None:
        """Store a batch and report on each instance. A failing data store fails the instances that it affects."""
        if not batch:
            return
        try:
            snapshot = self._index_writer.read_rows(partition, [each.uids for each in batch])
            fresh = [each for each in batch if not snapshot.exists(each.uids)]
            opened = self._index_writer.open(partition, [each.new_instance() for each in fresh], snapshot)
            written = list(self._parallel(self._write_files, fresh))
            results = self._index_writer.commit(partition, opened, written)
        except StorageError:
            log.exception("store failed")
            report.fail([failed_instance(each.examined, FAILED) for each in batch])
            return
        outcomes = dict(zip((each.version for each in fresh), results, strict=True))
        existing = [each for each in batch if outcomes.get(each.version, Refusal.EXISTS) is Refusal.EXISTS]
        present = {each.version for each in existing}
        identical = self._identical(partition, existing)
        for each in batch:
            outcome = outcomes.get(each.version)
            if each.version in present:
                add_existing(each, identical, report)
            else:
                add_outcome(each, outcome, report)
            if isinstance(outcome, Refusal) and outcome is not Refusal.UNKNOWN:
                self._discard(each)

    def _identical(self, partition: Partition, existing: Sequence[PendingInstance]) -> set[InstanceVersion] | None:
        """Return those of the pending instances whose bytes are stored under their UIDs, if such a store is a success.

        The rows are read again, because another request may have stored or deleted an instance meanwhile. None: the
        data store fails, so it is not known whether the bytes are the same.
        """
        if not (self._identical_is_success and existing):
            return set()
        try:
            snapshot = self._index_writer.read_rows(partition, [each.uids for each in existing])
        except StorageError:
            log.exception("the rows of existing instances were not read")
            return None
        return {
            each.version
            for each in existing
            if snapshot.exists(each.uids) and snapshot.visible_instance(each.uids).digest == each.body.digest
        }

    def _write_files(self, pending: PendingInstance) -> bool:
        """Write the file and the documents that are too large for items; return whether all are written.

        A kill -9 leaves files that no row names. The open record of the commit names them, so the sweep removes them.
        """
        examined, blob = pending.examined, pending.version.blob
        try:
            self._blobs.put(blob, pending.body.stream())
            documents.put_large(self._blobs, blob, examined.metadata, examined.frames)
        except StorageError:
            log.exception("file not written")
            return False
        return True

    def _discard(self, pending: PendingInstance) -> None:
        """Remove the files of a refused instance. If that fails, the sweep removes them when the record is due."""
        with contextlib.suppress(StorageError):
            self._blobs.delete(keys.files(pending.version.blob))
