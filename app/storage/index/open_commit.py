"""A commit that is under way: its record in the log of commits, and what a kill -9 leaves of it.

The record is written before the first blob (`feed/log.py`). It names the versions that are going to be stored, with
their documents, and the postings that their rows are going to have. The transaction replaces the record, and conflicts
if the sweep has taken it. Then the commit is too late, and the sweep removes its leftovers.

If other writers or new query tags make other postings necessary, an intent names these before they are written.

A transaction may leave something behind: versions that are not stored yet or are refused, and postings of an earlier
attempt that conflicted. So the same transaction writes a sweep record that names these.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.storage.feed.log import CommitLog, CommittedEntry
from app.storage.index import sweep
from app.storage.index.intents import Intents
from app.storage.index.plan import NewInstance, WritePlan
from app.storage.records.leftovers import Leftovers
from app.storage.table.partitions import Partition
from app.storage.table.ports import Change, Key, Put, Table


class OpenCommit:
    """One commit from its record to its end. One thread uses it.

    `instances` are those to store, with their watermarks. `plan` writes them all, if that was possible when the commit
    was opened.

    `files_stay` says that the files were stored long ago. Then no record names anything, because the sweep would remove
    the only copy. A kill -9 before the transaction leaves documents and postings without rows. `bulkhead verify
    --repair` removes them. `writes_at_once` is as in `IndexWriter`: the files are all that can be left.
    """

    def __init__(
        self,
        table: Table,
        log: CommitLog,
        instances: Sequence[NewInstance],
        plan: WritePlan | None,
        *,
        files_stay: bool = False,
        writes_at_once: bool = False,
    ) -> None:
        self.instances = instances
        self.plan = plan
        self._table = table
        self._log = log
        self._only_files = files_stay or writes_at_once
        self._named = Leftovers(versions=() if files_stay else tuple(each.version for each in instances))
        if plan and not self._only_files:
            self._named |= plan.leftovers()
        self._record = log.open(self._named) if instances else None
        self._is_fresh = True
        self._is_over = False  # the sweep may have removed the files, so no later attempt may write rows
        self._intents = Intents(table)
        self._remaining: tuple[list[Key], Leftovers] = ([], Leftovers())

    def begin_attempt(self) -> bool:
        """Prepare an attempt. Read the rows and the query tags after it. False if the sweep has taken the record.

        The record is gone too if an earlier attempt has succeeded and its answer was lost.
        """
        if self._is_over:
            return False
        if self._record is None:
            self._record = self._log.open(Leftovers())
        elif not self._is_fresh:
            self._record = self._log.reread(self._record)
            self._is_over = self._record is None
        self._is_fresh = False
        return not self._is_over

    def name(self, plan: WritePlan) -> None:
        """Name what the write of a plan may leave, before the write. Nothing is written if the records name it all."""
        if not self._only_files:
            self._intents.name(plan.leftovers() - self._named - self._intents.named)

    def committed(self, partition: Partition, plan: WritePlan, *, is_last: bool) -> list[Change]:
        """Return the changes of a transaction that record it. Call `end` after the transaction.

        After the last transaction, the sweep removes at once what earlier attempts have left.
        """
        entries = [CommittedEntry.of(row, "Create") for _, row in plan.created]
        changes: list[Change] = [
            self._log.committed(partition, entries, plan.contents(), self._record),
            *self._intents.dropped(),
        ]
        stored = plan.files() if self._only_files else plan.leftovers()
        remaining = (self._named | self._intents.named) - stored
        if is_last and remaining.postings:
            changes.append(sweep.queue_removal(Leftovers(postings=remaining.postings), 0))
            remaining = Leftovers(versions=remaining.versions)
        records = [sweep.intent(remaining)] if remaining else []
        self._remaining = [record.key for record in records], remaining
        return [*changes, *map(Put, records)]

    def end(self) -> None:
        """Continue with what the transaction has left. The commit may go on with another write."""
        self._record, self._named = None, Leftovers()
        self._intents.replace(*self._remaining)

    def give_up(self) -> None:
        """Let the sweep remove at once what the commit has left after its record was taken."""
        if left := self._named | self._intents.named:
            self._table.write_each([sweep.queue_removal(left, 0)])
