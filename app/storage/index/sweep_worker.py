"""The worker step of the sweep: it processes the records that are due (`storage/index/sweep.py`).

It also removes what the open records of commits name that were killed (`storage/feed/log.py`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple

import structlog

from app.errors import Conflict, StorageError
from app.storage.feed.log import TAKEN, CommitLog
from app.storage.index import sweep
from app.storage.index.leftovers_removal import LeftoversRemoval
from app.storage.index.sweep import Deletion, deletion_record, queue_cleanup
from app.storage.records.leftovers import Leftovers
from app.storage.table import clock, keys
from app.storage.table.batch import MAX_DOCUMENT_BYTES, Cost, UnfinishedPostings, grouped
from app.storage.table.ports import Delete, Holds, Item, Present, Put, Table

log = structlog.get_logger()

LEASE_SECONDS: Final = 60
"""How long one worker has a deletion record for itself. After a failure or a kill, the record is due again then."""

MAX_RETRIES: Final = 5
RETRY_SECONDS: Final = 86_400
_BATCH: Final = 100
_VERSION_SHARE: Final = MAX_DOCUMENT_BYTES // 333
"""So the versions of one group have at most a thousand blobs, which are one call on S3."""
_LOOK_SECONDS: Final = 60.0
"""Time between two looks for open records that have expired. They are an hour old, so there is no hurry."""


class Sweep:
    """Processes due records in batches. Any number of workers may run at once, because every step may be repeated.

    `clean_up` removes some of the rows of a deletion. It returns the deletion with its new position, or None when
    nothing is left. `shards` is the number of partition keys that the engine uses for the records.
    """

    def __init__(
        self,
        table: Table,
        log: CommitLog,
        leftovers: LeftoversRemoval,
        *,
        clean_up: Callable[[Deletion], Deletion | None],
        shards: int = 1,
    ) -> None:
        self._shards = shards
        self._table = table
        self._log = log
        self._next_look = 0.0  # when the log is read again
        self._leftovers = leftovers
        self._clean_up = clean_up

    def run_once(self, now: float) -> int:
        """Process up to a hundred records that are due at `now`; return their number.

        A record that fails is due again later, so it does not delay the others. One that cannot be read is due again
        in a year.
        """
        records = [*self._due(now), *self._expired(now)]
        removals: list[_Removal] = []
        for record in records:
            match sweep.work_of(record):
                case Leftovers() as leftovers:
                    removals.append(_Removal(record, leftovers))
                case UnfinishedPostings() as unfinished:
                    self._process_postings(unfinished, record, int(now))
                case Deletion() as deletion:
                    self._process_deletion(deletion, record)
                case None:
                    self._set_aside(record, int(now))
        self._process_removals(removals)
        return len(records)

    def _set_aside(self, record: Item, now: int) -> None:
        """Make a record due in a year that cannot be read. Then it does not delay the others for ever."""
        log.error("a record of the sweep cannot be read", record=record.key.sk)
        moved = keys.sweep(now + 365 * RETRY_SECONDS, record.key.sk.partition("/")[2])
        self._table.write(Delete(record.key), Put(record._replace(key=moved)))

    def _due(self, now: float) -> list[Item]:
        """Return about a hundred records that are due. The partition keys come in a random order.

        So workers that run at once seldom meet at one record. An archive that was moved from another engine may have
        records under more keys than this engine uses. These are read each minute.
        """
        shards = range(keys.SWEEP_SHARDS if now >= self._next_look else self._shards)
        found: list[Item] = []
        for shard in random.sample(shards, len(shards)):
            found += self._table.query(keys.sweep_shard(shard), keys.due_by(int(now)), limit=_BATCH)
            if len(found) >= _BATCH:
                break
        return found

    def _expired(self, now: float) -> list[Item]:
        """Return some of the open records of commits that cannot happen any more. They are looked for each minute."""
        if now < self._next_look:
            return []
        found = list(islice(self._log.expired(now), _BATCH))
        if len(found) < _BATCH:
            self._next_look = now + _LOOK_SECONDS
        return found

    def _process_removals(self, removals: Sequence[_Removal]) -> None:
        """Remove the leftovers of all records together, and the records last. A kill -9 leaves the records.

        If that fails, each record is processed by itself, so that one that fails does not delay the others.
        """
        taken = [each._replace(record=record) for each in removals if (record := self._take(each.record))]
        for group in grouped(taken, lambda each: Cost(0, _VERSION_SHARE * len(each.leftovers.versions))):
            self._remove_together(group)

    def _remove_together(self, removals: Sequence[_Removal]) -> None:
        if len(removals) > 1:
            with suppress(StorageError):
                self._remove(removals)
                return
        for each in removals:
            self._remove_or_postpone(each)

    def _remove_or_postpone(self, removal: _Removal) -> None:
        try:
            self._remove([removal])
        except StorageError:
            self._retry_later(removal)

    def _remove(self, removals: Sequence[_Removal]) -> None:
        self._leftovers.remove(each.leftovers for each in removals)
        self._table.write_each([Delete(each.record.key) for each in removals])

    def _take(self, record: Item) -> Item | None:
        """Take an intent or an open record, so that its store fails from now on. Return the record as it is then.

        None if its store has dropped it, or if the data store fails: then it stays due. Records of a deletion need not
        be taken, because no row can name their leftovers any more.
        """
        field, mark = ("fence", TAKEN) if "fence" in record.fields else ("taken", 1)
        value = record.fields.get(field, sweep.NEVER_TAKEN)
        if field == "taken" and value == sweep.NEVER_TAKEN:
            return record
        marked = record._replace(fields={**record.fields, field: mark})
        try:
            self._table.write(Put(marked, Holds(field, value)))
        except StorageError:
            return None
        return marked

    def _retry_later(self, removal: _Removal) -> None:
        """Make a failed removal due a day later, five times. After that it is due in a year, for an operator to see."""
        retries = removal.record.fields.get("retries", 0) + 1
        wait = RETRY_SECONDS if retries <= MAX_RETRIES else 365 * RETRY_SECONDS
        self._table.write(Delete(removal.record.key), sweep.queue_removal(removal.leftovers, wait, retries))

    def _process_deletion(self, deletion: Deletion, record: Item) -> None:
        """Do one step of a cleanup. Before it, the record moves to the end of a lease.

        So one worker has it at a time, and a kill -9 or a failure in the step leaves a record that is due again. A kill
        after the step repeats the step, which finds nothing to do.
        """
        leased = deletion_record(deletion, int(clock.now()) + LEASE_SECONDS)
        try:
            self._table.write(Delete(record.key, Present()), Put(leased))
        except Conflict:
            return  # another worker has it
        try:
            rest = self._clean_up(deletion)
        except StorageError:
            return
        self._table.write(Delete(leased.key), *([queue_cleanup(rest, 0)] if rest else []))

    def _process_postings(self, unfinished: UnfinishedPostings, record: Item, now: int) -> None:
        """Remove the postings that no row has, and the record last. A kill -9 at any point leaves the record.

        First the record is taken: a writer that is still on its way to its rows then conflicts.
        """
        due = keys.sweep(now + LEASE_SECONDS, record.key.sk.partition("/")[2])
        taken = Item(due, record.fields, record.data)
        try:
            self._table.write(Delete(record.key, Present()), Put(taken))
        except Conflict:
            return  # its writer or another worker has it
        with suppress(StorageError):
            self._leftovers.remove_postings(unfinished.rows, unfinished.postings)
            self._table.write(Delete(taken.key))


class _Removal(NamedTuple):
    """A due record of leftovers, and what it names."""

    record: Item
    leftovers: Leftovers
