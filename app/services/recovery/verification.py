"""The check of an archive: every row, file, document, posting and number against the others.

It reads the change feed, then every item of the table, then every key of the blob store. The archive may serve
meanwhile: what looks like a fault is looked at again (`suspects`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from app.services.parallel import ParallelMap
from app.services.recovery.blob_check import BLOB, BlobCheck
from app.services.recovery.feed_check import FEED, FeedCheck
from app.services.recovery.findings import Fault, FaultKind, Report, Subject
from app.services.recovery.item_checks import ITEM, ItemCheck, partition_of
from app.services.recovery.progress_file import ProgressFile
from app.services.recovery.study_check import STUDY, CheckedStudy, StudyCheck, study_subject
from app.services.recovery.suspects import Suspects
from app.storage.index.statistics import PartitionStatistics
from app.storage.records.contents import Contents
from app.storage.table import keys
from app.storage.table.codec import DamagedRecord
from app.storage.table.partitions import Partition, Partitions
from app.storage.table.ports import BlobStore, Item, Key, Table

PARTITION: Final = "partition"
STATISTICS: Final = "statistics"

_BATCH: Final = 500
"""Items or blobs that are checked together."""

T = TypeVar("T")


class ShowProgress(Protocol):
    """Shows how far a part of the work is. `total` is None while it is not known."""

    def __call__(self, doing: str, done: int, total: int | None, /) -> None: ...


class MendFaults(Protocol):
    """Mends faults. Returns those that are mended."""

    def __call__(self, faults: Sequence[Fault], /) -> Iterable[Fault]: ...


@dataclass(slots=True)
class _State:
    """How far a check is. `numbers` are what the rows of each partition add up to."""

    part: str = "items"
    after: list[str] = field(default_factory=list)
    report: Report = field(default_factory=Report)
    numbers: dict[int, Contents] = field(default_factory=dict)
    at_start: dict[int, Contents | None] = field(default_factory=dict)

    def saved(self, subjects: Sequence[Subject]) -> dict[str, Any]:
        return {
            "part": self.part,
            "after": self.after,
            "report": self.report.as_json(),
            "numbers": {str(key): list(each) for key, each in self.numbers.items()},
            "at_start": {str(key): list(each) if each else None for key, each in self.at_start.items()},
            "suspects": [[each.check, list(each.at)] for each in subjects],
        }

    @staticmethod
    def of(saved: dict[str, Any]) -> _State:
        return _State(
            saved["part"],
            saved["after"],
            Report.of(saved["report"]),
            {int(key): Contents(*each) for key, each in saved["numbers"].items()},
            {int(key): Contents(*each) if each else None for key, each in saved["at_start"].items()},
        )


class Verification:
    """Checks an archive, or one of its partitions.

    `pause` is in seconds: so long after it was found, a fault is looked at again. `mend` gets certain faults.
    """

    def __init__(
        self,
        *,
        table: Table,
        blobs: BlobStore,
        partitions: Partitions,
        studies: StudyCheck,
        items: ItemCheck,
        feed: FeedCheck,
        suspects: Callable[[Callable[[Sequence[Subject]], Iterable[Fault]]], Suspects],
        parallel: ParallelMap,
        progress: ProgressFile,
        show: ShowProgress,
        only: Partition | None = None,
        mend: MendFaults = lambda _: (),
    ) -> None:
        self._table = table
        self._blobs = blobs
        self._partitions = partitions
        self._statistics = PartitionStatistics(table, feed.log)
        self._studies = studies
        self._items = items
        self._feed = feed
        self._blob_check = BlobCheck(table, blobs)
        self._suspects = suspects(self._check_again)
        self._parallel = parallel
        self._progress = progress
        self._show = show
        self._only = only
        self._mend = mend
        self._known: set[int] = set()

    def run(self) -> Report:
        """Check everything, or what an interrupted run has left. A kill -9 loses a few seconds of work."""
        saved = self._progress.read()
        state = _State.of(saved) if saved else _State(at_start=self._statistics_now())
        self._known = {each.key for each in self._partitions.listed()}
        gaps = self._feed.read_on(lambda done, total: self._show("change feed", done, total))
        if saved:
            self._suspects.add(self._check_again([Subject(check, tuple(at)) for check, at in saved["suspects"]]))
        else:
            self._suspects.add(gaps)
        if state.part == "items":
            self._check_items(state)
            self._go_on(state, "blobs")
        if state.part == "blobs":
            self._check_blobs(state)
            self._go_on(state, "end")
        self._suspects.add(self._check_statistics(state))
        self._decide(state)
        state.report.checked["feed entries"] = self._feed.entries
        self._progress.remove()
        return state.report

    def _go_on(self, state: _State, part: str) -> None:
        self._decide(state)
        state.part, state.after = part, []
        self._progress.save(state.saved(self._suspects.subjects))

    # --- the parts ---

    def _check_items(self, state: _State) -> None:
        total = sum(each.instances for each in state.at_start.values() if each) or None
        after = Key(*state.after) if state.after else None
        for batch in _batches(self._table.items(after)):
            wanted = [item for item in batch if self._is_wanted(partition_of(item.key))]
            studies = [
                study_subject(partition_of(item.key), item.key.pk.split("/")[2])
                for item in wanted
                if item.key == keys.study(partition_of(item.key), item.key.pk.rpartition("/")[2])
            ]
            for subject, checked in zip(studies, self._parallel(self._check_study, studies), strict=True):
                self._count(state, int(subject.at[0]), checked)
                self._suspects.add(checked.faults)
            self._suspects.add(self._check_single_items(wanted))
            self._suspects.add(self._lost_partitions({partition_of(item.key) for item in wanted}))
            state.report.checked["items"] += len(wanted)
            state.after = list(batch[-1].key)
            self._show("rows and their files", state.report.checked["instances"], total)
            self._end_of_batch(state)

    def _check_blobs(self, state: _State) -> None:
        prefix = keys.blobs_of(self._only.key) if self._only else ""
        total = state.report.checked["files"] or None
        for batch in _batches(self._blobs.listed(prefix, state.after[0] if state.after else "")):
            self._suspects.add(self._blob_check.check(batch))
            state.report.checked["blobs"] += len(batch)
            state.after = [batch[-1].key]
            self._show("blobs", state.report.checked["blobs"], total)
            self._end_of_batch(state)

    def _check_statistics(self, state: _State) -> list[Fault]:
        """Compare the statistics of partitions with their rows, where nothing was written during the check."""
        faults = []
        now = self._statistics_now()
        for key, contents in now.items():
            counted = state.numbers.get(key, Contents(0, 0, 0))
            if contents is None or counted == contents:
                continue
            if state.at_start.get(key) != contents:
                state.report.notes.append(
                    f"Partition {key} was changed during the check, so its statistics were not compared with its rows."
                )
                continue
            detail = f"the statistics say {_text(contents)}, the rows {_text(counted)}"
            subject = Subject(STATISTICS, (str(key), *map(str, (*counted, *contents))))
            faults.append(Fault(kind=FaultKind.WRONG_STATISTICS, subject=subject, partition=key, detail=detail))
        return faults

    # --- pieces ---

    def _is_wanted(self, partition: int) -> bool:
        return partition > 0 and (self._only is None or partition == self._only.key)

    def _count(self, state: _State, partition: int, checked: CheckedStudy) -> None:
        before = state.numbers.get(partition, Contents(0, 0, 0))
        state.numbers[partition] = Contents(
            before.studies + checked.studies, before.instances + checked.instances, before.bytes + checked.bytes
        )
        state.report.checked.update(studies=checked.studies, instances=checked.instances, files=checked.files)

    def _check_study(self, subject: Subject) -> CheckedStudy:
        try:
            return self._studies.check(subject)
        except DamagedRecord as error:
            return CheckedStudy([_unreadable(subject, int(subject.at[0]), subject.at[1], error)], studies=1)

    def _check_single_items(self, items: Sequence[Item]) -> list[Fault]:
        try:
            return self._items.check(items)
        except DamagedRecord as error:
            if len(items) == 1:
                key = items[0].key
                study = key.pk.rpartition("/")[2] if "/study/" in key.pk else ""
                return [_unreadable(Subject(ITEM, tuple(key)), partition_of(key), study, error)]
            middle = len(items) // 2
            return [*self._check_single_items(items[:middle]), *self._check_single_items(items[middle:])]

    def _lost_partitions(self, found: set[int]) -> list[Fault]:
        return [
            Fault(kind=FaultKind.LOST_PARTITION, subject=Subject(PARTITION, (str(key),)), partition=key)
            for key in sorted(found - self._known)
        ]

    def _check_again(self, subjects: Sequence[Subject]) -> list[Fault]:
        self._feed.read_on()
        by_check: dict[str, list[Subject]] = {}
        for subject in subjects:
            by_check.setdefault(subject.check, []).append(subject)
        studies = list(self._parallel(self._check_study, by_check.get(STUDY, [])))
        faults = [fault for each in studies for fault in each.faults]
        again = self._table.get_many([Key(*each.at) for each in by_check.get(ITEM, [])])
        faults += self._check_single_items([item for item in again if item])
        faults += self._blob_check.check_again(by_check.get(BLOB, []))
        faults += [fault for subject in by_check.get(FEED, []) for fault in self._feed.check(subject)]
        faults += self._statistics_again(by_check.get(STATISTICS, []))
        if PARTITION in by_check:
            self._known = {each.key for each in self._partitions.listed()}
            faults += self._lost_partitions({int(each.at[0]) for each in by_check[PARTITION]})
        return faults

    def _statistics_again(self, subjects: Sequence[Subject]) -> list[Fault]:
        now = self._statistics_now() if subjects else {}
        faults = []
        for subject in subjects:
            key, *numbers = map(int, subject.at)
            counted, contents = Contents(*numbers[:3]), Contents(*numbers[3:])
            if now.get(key) == contents:  # else something was written meanwhile
                detail = f"the statistics say {_text(contents)}, the rows {_text(counted)}"
                faults.append(Fault(kind=FaultKind.WRONG_STATISTICS, subject=subject, partition=key, detail=detail))
        return faults

    def _statistics_now(self) -> dict[int, Contents | None]:
        partitions = [self._only] if self._only else self._partitions.listed()
        contents = self._statistics.of_each(partitions)
        return {each.key: found for each, found in zip(partitions, contents, strict=True)}

    def _end_of_batch(self, state: _State) -> None:
        if self._suspects.is_full:
            self._decide(state)
        self._progress.save_now_and_then(lambda: state.saved(self._suspects.subjects))

    def _decide(self, state: _State) -> None:
        certain = self._suspects.certain()
        state.report.add(certain, self._mend(certain))


def _batches(found: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(found)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _unreadable(subject: Subject, partition: int, study: str, error: DamagedRecord) -> Fault:
    detail = str(error.__cause__ or error)
    return Fault(kind=FaultKind.UNREADABLE, subject=subject, partition=partition, study=study, detail=detail)


def _text(contents: Contents) -> str:
    return f"{contents.studies} studies, {contents.instances} instances, {contents.bytes} bytes"
