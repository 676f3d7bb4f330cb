"""One run of `bulkhead store`: find files, send them, count what became of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from app.client.connection import ArchiveClient
from app.client.errors import ServerFailed
from app.client.store.contents import FileOnDisk, SourceChanged
from app.client.store.found import DicomFile, DoneEarlier, Found, NotDicom, Unreadable
from app.client.store.journal import Journal
from app.client.store.outcomes import Outcome, Result
from app.client.store.report import StoreReport
from app.client.store.sending import BATCH_BYTES, BATCH_FILES, Sender
from app.client.workers import Workers

Batch = list[DicomFile]

_END_SECONDS: Final = 5.0
"""How long an interrupted run waits for the requests that are under way."""
_FAILURES_IN_A_ROW: Final = 8


class StoreRun:
    """Stores what is found with `jobs` requests at a time. `shown` is called after each step, with the report."""

    def __init__(
        self, client: ArchiveClient, *, jobs: int, journal: Journal | None, shown: Callable[[StoreReport], None]
    ) -> None:
        self.report = StoreReport()
        self._journal = journal
        self._shown = shown
        self._sent: dict[tuple[int, bytes], DicomFile | bytes] = {}
        self._workers: Workers[Batch, list[Outcome]] = Workers(self._send, jobs)
        self._sender = Sender(client, self._workers.stopped)
        self._server_failures = 0

    def run(self, found: Iterable[Found]) -> StoreReport:
        """Return the report, also of a run that Ctrl-C interrupts. A `ClientError` ends the run; `report` is right."""
        started = time.monotonic()
        try:
            for outcomes in self._workers.results(self._batches(found)):
                self._note(outcomes)
        except KeyboardInterrupt:
            self.report.interrupted = True
        finally:
            self._workers.stop()
            for outcomes in self._workers.last_results(_END_SECONDS):
                self._note(outcomes)
            self.report.seconds = time.monotonic() - started
            self._shown(self.report)
        return self.report

    def _send(self, batch: Batch) -> list[Outcome]:
        return self._sender.send(batch)

    def _note(self, outcomes: list[Outcome]) -> None:
        if self._journal:
            self._journal.add([each.file.key for each in outcomes if each.result is not Result.REFUSED])
        self.report.add(outcomes)
        self._shown(self.report)
        for each in outcomes:
            failed = each.result is Result.REFUSED and each.reason.startswith("HTTP 5")
            self._server_failures = self._server_failures + 1 if failed else 0
            if self._server_failures >= _FAILURES_IN_A_ROW:
                raise ServerFailed(int(each.reason[5:8]), each.reason.partition(": ")[2])

    def _batches(self, found: Iterable[Found]) -> Iterator[Batch]:
        """Yield batches of files. Other things that are found are counted."""
        batch: Batch = []
        size = 0
        for each in found:
            if not isinstance(each, DicomFile):
                self._count(each)
            elif self._is_identical(each):
                self.report.identical += 1
                self.report.weight += each.weight
                each.content.close()
            elif each.content.size > BATCH_BYTES:
                yield [each]
            else:
                if size + each.content.size > BATCH_BYTES or len(batch) == BATCH_FILES:
                    yield batch
                    batch, size = [], 0
                batch.append(each)
                size += each.content.size
        if batch:
            yield batch

    def _count(self, each: Found) -> None:
        self.report.weight += each.weight
        match each:
            case DoneEarlier():
                self.report.stored_earlier += 1
            case NotDicom():
                self.report.not_dicom += 1
            case Unreadable(reason=reason):
                self.report.refuse(each.name, reason)
        self._shown(self.report)

    def _is_identical(self, file: DicomFile) -> bool:
        """Tell whether this run has sent the same bytes. Digests are made only of files with one size and one start."""
        try:
            start = (file.content.size, file.content.head())
            earlier = self._sent.get(key := (start[0], _short(start[1])))
            if earlier is None:
                kept = isinstance(file.content, FileOnDisk)
                self._sent[key] = file if kept else file.content.digest()
                return False
            if isinstance(earlier, DicomFile):
                earlier = self._sent[key] = earlier.content.digest()
            return earlier == file.content.digest()
        except (SourceChanged, OSError):
            return False  # it is sent, and what is wrong is reported then


def _short(head: bytes) -> bytes:
    return hashlib.blake2b(head[128:], digest_size=16).digest()
