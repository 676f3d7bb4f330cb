"""How instances come to exist: each by one all-or-nothing write, several in one write if they fit.

Order of a store, and what a kill -9 after each step leaves:

1. numbers are reserved       -> numbers that nothing has;
2. a record is opened in the log of commits (`open_commit.py`)
                              -> a record that comes due and finds nothing to remove;
3. blobs are stored           -> blobs that no row names; the sweep removes them when the record comes due;
4. documents and postings are written
                              -> documents and postings that no row names; they are removed like the blobs;
5. one transaction creates the instance rows, creates or changes the study rows and series rows if necessary, and
   replaces the open record by one that is committed: the change feed takes its entries from there
                              -> the instances exist, complete;
6. the write is confirmed, unless the transaction has expected the rows as they were read
                              -> the instances exist; or a deletion has closed their study or series in the meantime,
                                 they are hidden, and the cleanup of the deletion removes them.

On DynamoDB a commit reads the extended query tags after it has opened its record. So it has read the present tags, or a
change of the tags has raised the fence of its record. Then it conflicts and reads them again (`storage/feed/log.py`).

A store that changes no attribute of its study and series does not write their rows. So the stores into one series do
not conflict with each other. Such a store reads the rows again after its write (`storage/index/confirmation.py`).

The embedded engine makes one write after another. There the first transaction itself expects that the study rows, the
series rows and the tags are as they were read before. That costs less than to read them again. A later attempt works as
on DynamoDB.

A store that meets a closing study or series waits a moment, because the deletion may be about to end. If the row is
still there, the deletion was killed or has much to remove. Then the store helps to remove rows, within limits, and
tries again. It never stores beside hidden rows of the same study row.

A store that was killed before step 6 may leave a hidden instance of a study or series that does not exist any more. The
next store of the same instance removes it first, with its feed entry.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from app.errors import Conflict, StorageUnavailable
from app.storage.feed.log import CommitLog
from app.storage.index import sweep
from app.storage.index.confirmation import Confirmation
from app.storage.index.open_commit import OpenCommit
from app.storage.index.plan import NewInstance, WritePlan, with_tags
from app.storage.records.rows import InstanceRow
from app.storage.records.snapshot import Snapshot, Uids
from app.storage.table.batch import write_atomically
from app.storage.table.counters import WatermarkCounter
from app.storage.table.partitions import Partition
from app.storage.table.ports import MAX_CHANGES, Change, Table
from app.storage.table.retry import RetriesExhausted, retry
from app.storage.tags.query_tags import QueryTagStore

MAX_INSTANCES: Final = 20
"""The most instances of one commit. If each is a new study, the transaction has four changes for each, and records."""

_CLOSING_SECONDS: Final = 0.05
"""How long a store waits for the end of a deletion before it helps."""


class Refusal(Enum):
    """Why an instance was not stored."""

    EXISTS = "it exists in the partition"
    CONTENDED = "every attempt conflicted with another writer"
    REMOVING = "its study or series was deleted, and the removal has not ended yet"
    DELETED = "its study or series was deleted during the store"
    UNKNOWN = "the data store failed, and may have written it"


CommitOutcome = InstanceRow | Refusal


@dataclass(slots=True)
class _Progress:
    """The state of one commit. `new_instances` are those whose files are stored. `met` are the deletions met so far."""

    new_instances: Sequence[NewInstance]
    opened: OpenCommit
    outcomes: dict[int, CommitOutcome] = field(default_factory=dict)
    met: set[sweep.Deletion] = field(default_factory=set)
    closing: set[int] = field(default_factory=set)

    @property
    def pending(self) -> list[int]:
        """The indexes of the instances that have no outcome yet."""
        return [i for i in range(len(self.new_instances)) if i not in self.outcomes]


class IndexWriter:
    """Makes instances exist.

    `tags` reads the extended query tags. `help_cleanup` removes rows of a deletion and returns whether it is
    complete. `remove` removes instances with their feed entries. `confirmation` checks instances after their write.
    `shards` is that of new rows (`records/spread_lists.py`). `writes_at_once` says whether a write of the table makes
    also its `before` all or nothing. Then a kill -9 leaves no documents and postings, and no record names them.
    """

    def __init__(
        self,
        table: Table,
        *,
        numbers: WatermarkCounter,
        log: CommitLog,
        tags: QueryTagStore,
        confirmation: Confirmation,
        help_cleanup: Callable[[sweep.Deletion], bool],
        remove: Callable[[Partition, Iterable[InstanceRow]], None],
        shards: int = 1,
        writes_at_once: bool = False,
    ) -> None:
        self._table = table
        self._numbers = numbers
        self._log = log
        self._tags = tags
        self._confirmation = confirmation
        self._help_cleanup = help_cleanup
        self._remove = remove
        self._shards = shards
        self._writes_at_once = writes_at_once

    def read_rows(self, partition: Partition, uids: Iterable[Uids]) -> Snapshot:
        """Return the rows of these instances and of their studies and series.

        The blob of an instance that exists already need not be stored.
        """
        return Snapshot.read(self._table, partition.key, uids)

    def open(
        self,
        partition: Partition,
        new_instances: Sequence[NewInstance],
        snapshot: Snapshot,
        *,
        files_stay: bool = False,
    ) -> OpenCommit:
        """Begin a commit of up to `MAX_INSTANCES` instances, before the first of their files is stored.

        `snapshot` is what `read_rows` returned. `files_stay` is as in `OpenCommit`. The commit ends with `commit`.
        """
        watermarks = self._numbers.reserve(len(new_instances)) if new_instances else ()
        instances = [
            each.with_watermark(number, self._shards) for each, number in zip(new_instances, watermarks, strict=True)
        ]
        plan: WritePlan | None = None
        if _are_writable(snapshot, instances):
            plan = WritePlan(partition, snapshot)
            for each in instances:
                plan.add(each)
        return OpenCommit(
            self._table, self._log, instances, plan, files_stay=files_stay, writes_at_once=self._writes_at_once
        )

    def commit(self, partition: Partition, opened: OpenCommit, is_stored: Sequence[bool]) -> list[CommitOutcome | None]:
        """Make the instances of an open commit exist whose files are stored. Return the outcome of each, in order.

        None stands for an instance whose files are not stored. If the rows have changed since the commit was opened,
        the write conflicts and is repeated with new ones. Each instance exists complete or not at all, whatever the
        outcome of the others is.
        """
        stored = [each for each, done in zip(opened.instances, is_stored, strict=True) if done]
        progress = _Progress(stored, opened)
        refusals: dict[int, CommitOutcome] = {}
        try:
            retry(lambda: self._attempt(partition, progress))
        except RetriesExhausted:
            refusals = {i: Refusal.REMOVING if i in progress.closing else Refusal.CONTENDED for i in progress.pending}
        except StorageUnavailable:
            refusals = dict.fromkeys(progress.pending, Refusal.UNKNOWN)
        outcomes = progress.outcomes | refusals
        found = iter([outcomes[i] for i in range(len(stored))])
        return [next(found) if done else None for done in is_stored]

    def _attempt(self, partition: Partition, progress: _Progress) -> None:
        """Commit what has no outcome yet, with one reading of the rows. Raises `Conflict` if something is left."""
        if not progress.pending:
            return
        is_open = progress.opened.begin_attempt()
        plan, progress.opened.plan = progress.opened.plan, None
        if plan and self._write_plan(partition, plan, progress):
            return
        tags = self._tags.read()
        snapshot = self.read_rows(partition, [progress.new_instances[i].uids for i in progress.pending])
        writable = _decide(snapshot, progress)
        hidden = [row for i in writable if (row := snapshot.instances.get(progress.new_instances[i].uids))]
        if writable and not is_open:
            progress.opened.give_up()
            progress.outcomes |= dict.fromkeys(progress.pending, Refusal.CONTENDED)
        elif hidden:
            self._remove(partition, hidden)
        elif writable:
            plan = WritePlan(partition, snapshot)
            for i in writable:
                plan.add(with_tags(progress.new_instances[i], tags))
            self._write(partition, plan, progress, writable)
        if progress.closing:
            self._wait_or_help(partition, snapshot, progress)
        if progress.pending:
            raise Conflict(None)

    def _write_plan(self, partition: Partition, plan: WritePlan, progress: _Progress) -> bool:
        """Write the plan that was made when the commit was opened.

        Return False if the plan does not have all files, or was made for other tags, or has too many conditions.

        Only this first attempt expects what was read before it. A later one reads everything again. So a commit cannot
        conflict for long with others that change its study.
        """
        tags = self._tags.last_read() if self._writes_at_once else self._tags.read()
        expected = [tags.unchanged, *plan.parents_unchanged()] if self._writes_at_once else []
        has_room = not expected or len(plan.changes()) + len(expected) < MAX_CHANGES
        if len(plan.new_instances) != len(progress.new_instances) or plan.tags != {tags.keys} or not has_room:
            return False
        self._write(partition, plan, progress, progress.pending, expected)
        return True

    def _write(
        self,
        partition: Partition,
        plan: WritePlan,
        progress: _Progress,
        indexes: Sequence[int],
        expected: Sequence[Change] = (),
    ) -> None:
        """Write the instances of a plan in one transaction, and set their outcomes. Raises `Conflict` if it fails.

        `expected` are conditions of the transaction. With them, the write needs no confirmation.
        """
        progress.opened.name(plan)
        is_last = len(indexes) == len(progress.pending)
        record = progress.opened.committed(partition, plan, is_last=is_last)
        write_atomically(self._table, [*record, *plan.changes(), *expected], before=plan.before())
        progress.opened.end()
        rows = [row for _, row in plan.created] if expected else self._confirmation.confirm(partition, plan)
        for i, row in zip(indexes, rows, strict=True):
            progress.outcomes[i] = row or Refusal.DELETED

    def _wait_or_help(self, partition: Partition, snapshot: Snapshot, progress: _Progress) -> None:
        """Wait for deletions that this commit meets for the first time. Help to finish those that it meets again."""
        deletions = {_deletion_met(partition, snapshot, progress.new_instances[i].uids) for i in progress.closing}
        if not deletions <= progress.met:
            time.sleep(_CLOSING_SECONDS)
        with suppress(RetriesExhausted):
            for deletion in deletions & progress.met:
                if not self._help_cleanup(deletion):
                    break  # it has much to remove; one attempt does only so much
        progress.met |= deletions


def _are_writable(snapshot: Snapshot, instances: Sequence[NewInstance]) -> bool:
    """Return whether all of the instances may be written: none exists, no row is left over, and nothing is closing."""
    uids = {each.uids for each in instances}
    return len(uids) == len(instances) > 0 and not any(
        each in snapshot.instances or snapshot.closing(each) for each in uids
    )


def _decide(snapshot: Snapshot, progress: _Progress) -> list[int]:
    """Give the instances that exist their outcome. Return the indexes of those that may be written now."""
    writable: list[int] = []
    seen: set[Uids] = set()
    progress.closing.clear()
    for i in progress.pending:
        new = progress.new_instances[i]
        if snapshot.exists(new.uids):
            row = snapshot.instances[new.uids]
            # The same version was written by an earlier call of this commit whose answer was lost.
            progress.outcomes[i] = row if row.version == new.version.version else Refusal.EXISTS
        elif new.uids in seen:
            progress.outcomes[i] = Refusal.EXISTS
        elif snapshot.closing(new.uids):
            progress.closing.add(i)
        else:
            seen.add(new.uids)
            writable.append(i)
    return writable


def _deletion_met(partition: Partition, snapshot: Snapshot, uids: Uids) -> sweep.Deletion:
    """Return the deletion that hides an instance: of its study, or else of its series."""
    study, series, _ = uids
    if snapshot.studies[study].closing:
        return sweep.deletion_of(partition, study)
    return sweep.deletion_of(partition, study, series)
