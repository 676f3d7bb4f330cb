"""How instances come to exist: one all-or-nothing write each, many in one where they fit.

Order of a store, and what a kill -9 after each step leaves behind:
1. intents are written        -> records that come due and find nothing to remove;
2. blobs are stored           -> blobs that no row names, removed when their intents come due;
3. numbers are reserved       -> a gap in the feed, sealed by its readers;
4. one write makes the instance row, its metadata, postings and feed entry, its study's and series' rows where they are
   new or changed, and drops the intent -> the instance exists, in full.

A store that changes nothing of its study and series does not write their rows, so a hot series does not serialise its
writers. Instead it looks again after the write (`_confirmed`): had a deletion closed the study meanwhile, the deletion
wins and the instance is taken back before anybody is told that it is stored; is one about to close the series as empty
(`closing`), the store keeps it open. Had a bulk update begun or been shown
meanwhile, the instance counts as stored after it, unless the update took it in: its values go into the study row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Final

from app.errors import Conflict, StorageUnavailable
from app.storage.feed.change_feed import FeedLog
from app.storage.index import closing, sweep
from app.storage.index.plan import NewInstance, Plan, with_tags
from app.storage.records.rows import InstanceRow
from app.storage.records.snapshot import Snapshot, Uids
from app.storage.table.batch import write_atomically, write_each
from app.storage.table.counters import SequenceCounter
from app.storage.table.partitions import Partition
from app.storage.table.ports import Key, Put, Table
from app.storage.table.retry import RetriesExhausted, retry
from app.storage.tags.query_tags import QueryTags

_CLOSING_SECONDS: Final = 0.05


class Refusal(Enum):
    """Why an instance was not stored."""

    EXISTS = "it exists in the partition"
    CONTENDED = "other writers were faster, time after time"
    DELETED = "its study or series was deleted meanwhile"
    UNKNOWN = "the data store failed, and may have written it"


CommitOutcome = InstanceRow | Refusal


class IndexWriter:
    """Makes instances exist. `take_back` deletes instances again; `tags` reads the extended query tags to file."""

    def __init__(
        self,
        table: Table,
        numbers: SequenceCounter,
        feed: FeedLog,
        take_back: Callable[[Partition, Iterable[InstanceRow]], None],
        tags: Callable[[], QueryTags],
    ) -> None:
        self._table = table
        self._numbers = numbers
        self._feed = feed
        self._take_back = take_back
        self._tags = tags

    def read_rows(self, partition: Partition, uids: Iterable[Uids]) -> Snapshot:
        """Return the rows that these instances touch: who exists already need not send its blob."""
        return Snapshot.read(self._table, partition.key, uids)

    def record_intents(self, versions: Sequence[sweep.InstanceVersion]) -> list[Key]:
        """Record durably that blobs of these versions are about to be written; return the records' keys."""
        records = [sweep.intent(version) for version in versions]
        write_each(self._table, map(Put, records))
        return [record.key for record in records]

    def commit(
        self, partition: Partition, new_instances: Sequence[NewInstance], snapshot: Snapshot
    ) -> list[CommitOutcome]:
        """Make the new_instances exist; return one outcome each, in order. Their blobs are stored, their intents written.

        `snapshot` is what `look` returned; if it is out of date, the write conflicts and is tried on a new one.

        Each instance exists in full or not at all, whatever happens to its neighbours.
        """
        outcomes: dict[int, CommitOutcome] = {}
        known: Snapshot | None = snapshot

        def attempt() -> None:
            nonlocal known
            pending = [each.uids for i, each in enumerate(new_instances) if i not in outcomes]
            rows, known = known or self.read_rows(partition, pending), None
            self._attempt(partition, new_instances, rows, outcomes)

        refusal = Refusal.UNKNOWN
        try:
            retry(attempt)
        except RetriesExhausted:
            refusal = Refusal.CONTENDED
        except StorageUnavailable:
            pass
        return [outcomes.get(i, refusal) for i in range(len(new_instances))]

    def _attempt(
        self,
        partition: Partition,
        new_instances: Sequence[NewInstance],
        snapshot: Snapshot,
        outcomes: dict[int, CommitOutcome],
    ) -> None:
        """Commit what has no outcome yet, on one reading of the rows. Raises `Conflict` if something has none still."""
        pending = [i for i in range(len(new_instances)) if i not in outcomes]
        wanted = self._sorted_out(snapshot, new_instances, pending, outcomes)
        numbers = list(self._numbers.reserve(len(wanted))) if wanted else []
        tags = self._tags() if wanted else QueryTags()  # read after the numbers are: see storage/tags/query_tags.py
        try:
            while wanted:
                plan = Plan(partition, snapshot)
                while len(plan.created) < len(wanted):
                    done = len(plan.created)
                    if plan.add(with_tags(new_instances[wanted[done]], tags), numbers[done]) is None:
                        break
                self._write(partition, plan)
                done = len(plan.created)
                committed, wanted, numbers = wanted[:done], wanted[done:], numbers[done:]
                outcomes.update(zip(committed, self._confirmed(partition, plan), strict=True))
        except Conflict:
            self._feed.seal(numbers)  # nobody will use them; readers need not wait for them
            raise
        if len(outcomes) < len(new_instances):
            raise Conflict(None)

    def _sorted_out(
        self,
        snapshot: Snapshot,
        new_instances: Sequence[NewInstance],
        pending: list[int],
        outcomes: dict[int, CommitOutcome],
    ) -> list[int]:
        """Give those that exist their outcome; return those that may be written now."""
        wanted: list[int] = []
        seen: set[Uids] = set()
        for i in pending:
            uids = new_instances[i].uids
            if snapshot.exists(uids):
                row = snapshot.instances[uids]
                own = row.version == new_instances[i].version.version  # written before, by a call whose answer was lost
                outcomes[i] = row if own else Refusal.EXISTS
            elif uids in seen:
                outcomes[i] = Refusal.EXISTS
            elif not snapshot.closing(uids):
                seen.add(uids)
                wanted.append(i)
        if any(snapshot.closing(new_instances[i].uids) for i in pending):
            time.sleep(_CLOSING_SECONDS)  # the deletion is about to end, and the next attempt to see it
        return wanted

    def _write(self, partition: Partition, plan: Plan) -> None:
        changes = [*plan.changes(), *self._feed.changes(partition, plan.created, "Create")]
        write_atomically(self._table, changes)

    def _confirmed(self, partition: Partition, plan: Plan) -> list[CommitOutcome]:
        """Return the outcome of each instance just written: taken back where a deletion closed its study meanwhile."""
        rows = [row for _, row in plan.created]
        open_to_doubt = [row for row in rows if not plan.writes_parents_of(row)]
        if not open_to_doubt:
            return list(rows)
        lost, parents = self._lost(partition, open_to_doubt)
        if lost:
            try:
                self._take_back(partition, lost)
            except RetriesExhausted as exhausted:  # they are written, so the outcome is unknown, not contended
                raise StorageUnavailable from exhausted
        for row, new_instance in zip(rows, plan.new_instances, strict=True):
            if row in open_to_doubt and row not in lost and not plan.knew(parents.studies[row.study]):
                self._restate(partition, new_instance)
        return [Refusal.DELETED if row in lost else row for row in rows]

    def _lost(self, partition: Partition, rows: list[InstanceRow]) -> tuple[list[InstanceRow], Snapshot]:
        """Return the instances that are not to stay, and the rows above all: their study or series is gone."""

        def read() -> Snapshot:
            return Snapshot.read(self._table, partition.key, {(row.study, row.series) for row in rows})

        def attempt() -> tuple[list[InstanceRow], Snapshot]:
            parents = read()
            lost = [row for row in rows if not parents.holds(row)]
            if any(parents.emptying(_uids(row)) for row in lost):
                time.sleep(_CLOSING_SECONDS)  # it may open again, since this instance is now in it
                raise Conflict(None)
            self._keep(parents)
            return lost, parents

        try:
            return retry(attempt)
        except RetriesExhausted:
            return rows, read()

    def _keep(self, parents: Snapshot) -> None:
        """Keep the series that a deletion is about to close (`closing`). Raises `Conflict` if one was written meanwhile."""
        for row in parents.series.values():
            if row.ending and not row.closing:
                self._table.write(closing.staying(row))

    def _restate(self, partition: Partition, new_instance: NewInstance) -> None:
        """Write an instance's values into its study row once more, unless a bulk update took the instance in."""

        def attempt() -> None:
            found = self.read_rows(partition, [new_instance.uids])
            if found.exists(new_instance.uids) and not found.taken_in(new_instance.uids):
                write_atomically(self._table, Plan(partition, found).restatement(new_instance))

        with suppress(RetriesExhausted):
            retry(attempt)


def _uids(row: InstanceRow) -> Uids:
    return row.study, row.series, row.instance
