"""The stored records of background operations: request, checkpoint, results and lease (conformance §9.6).

A worker holds the *lease* of an operation while it runs its steps. The lease is an item of its own. Its `claim` number
grows with each holder, and every write of a holder is conditional on its claim. So a worker that lost its lease cannot
write any more.

An `active` item names the running operation of a type that is exclusive. It is written with the start of the operation
and deleted with its end.

A kill -9 leaves no operation, or an open one. When its lease expires, `abandoned` finds it, and a worker continues from
the checkpoint. So the operation ends at some time, and its `active` item is deleted then.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import Any, Final

import orjson
from msgspec.structs import replace

from app import logs, tracing
from app.errors import Conflict, OperationActive
from app.storage.table import clock, keys
from app.storage.table.codec import EMPTY, JsonObject, Record, decode, encode
from app.storage.table.ports import MAX_CHANGES, Absent, Change, Delete, Holds, Item, Present, Put, Require, Table
from app.storage.table.retry import retry

NOT_STARTED: Final = "notStarted"
RUNNING: Final = "running"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
CANCELED: Final = "canceled"
FINAL: Final = frozenset({SUCCEEDED, FAILED, CANCELED})

_READ_TOGETHER: Final = 25
"""Operations that a list reads at once. Few are large: a bulk update has its new values until it ends."""


class Operation(Record, frozen=True, kw_only=True):
    """One operation.

    `request`, `checkpoint` and `results` are JSON: the request without secrets, the place where the next step starts,
    and totals so far. Times are UTC as in `clock.timestamp`. `resources` are tag paths.

    `started_by` is the `Caller.identity` of the caller that started it, and `partition` the name of the partition that
    it works on. Both are empty if there is none, and in records of older releases.

    `exclusive` means that one operation of the type runs at a time. `claim` is the number of the lease under which the
    operation was read. `attempts` counts the claims since the last completed step.
    """

    id: str
    type: str
    status: str
    created: str
    updated: str
    percent: int | None = None
    request: JsonObject = EMPTY
    checkpoint: JsonObject = EMPTY
    results: JsonObject = EMPTY
    resources: tuple[str, ...] = ()
    started_by: str = ""
    partition: str = ""
    exclusive: bool = False
    claim: int = 0
    attempts: int = 0
    request_id: str = ""
    """The id of the request that started the operation. Operations of older releases have none."""
    traceparent: str = ""
    """The span of that request, in the form of W3C Trace Context. Empty without tracing."""

    @property
    def ended(self) -> bool:
        return self.status in FINAL

    @property
    def place(self) -> str:
        """The place of an operation that has ended among the others (`Operations.ended`)."""
        return keys.ended_operation(self.status, self.updated, self.id).sk

    @property
    def item(self) -> Item:
        fields = encode(self, "id", "claim", "attempts", *_IN_DATA)
        return Item(keys.operation(self.id), fields, orjson.dumps({name: getattr(self, name) for name in _IN_DATA}))

    @staticmethod
    def of(item: Item) -> Operation:
        return decode(Operation, item.fields, id=item.key.pk.removeprefix("operation/"), **orjson.loads(item.data))


_IN_DATA: Final = ("request", "checkpoint", "results", "resources")


class Lease(Record, frozen=True, kw_only=True):
    """The lease of an operation. `owner` helps an operator who reads the table. `until` is in seconds since 1970."""

    claim: int
    attempts: int
    owner: str
    until: int


def new_id() -> str:
    """Return a new operation id: 32 lower-case hex digits."""
    return uuid.uuid4().hex


def _no_changes(_: Operation) -> Iterable[Change]:
    return ()


class Operations:
    """Reads and writes the operations of a table."""

    def __init__(self, table: Table, now: Callable[[], float] = lambda: clock.now()) -> None:
        self._table = table
        self._now = now

    def start(
        self,
        kind: str,
        request: Mapping[str, Any],
        *,
        started_by: str = "",
        partition: str = "",
        exclusive: bool = False,
        resources: Sequence[str] = (),
        named: str | None = None,
        alongside: Callable[[Operation], Iterable[Change]] = _no_changes,
    ) -> Operation:
        """Write a new operation, in one write with the changes that `alongside` returns (95 at most).

        `named` is the id, if the caller has one from `new_id`. Raises `OperationActive` if the operation is `exclusive`
        and another of its type is running. Raises `Conflict` if a condition of `alongside` does not hold.
        """
        now = clock.timestamp(self._now())
        started = Operation(
            id=named or new_id(),
            type=kind,
            status=NOT_STARTED,
            created=now,
            updated=now,
            request=request,
            resources=tuple(resources),
            started_by=started_by,
            partition=partition,
            exclusive=exclusive,
            request_id=logs.request_id(),
            traceparent=tracing.current_parent(),
        )
        active = keys.active_operation(kind)
        changes: list[Change] = [
            *((Put(Item(active, {"operation": started.id}), Absent()),) if exclusive else ()),
            Put(started.item, Absent()),
            Put(Item(keys.open_operation(started.id), {"type": kind})),
            *alongside(started),
        ]

        def attempt() -> Operation:
            try:
                self._table.write(*changes)
            except Conflict as conflict:
                if conflict.key in (None, active):
                    self.refuse_if_active(kind)
                raise
            return started

        return retry(attempt, when=lambda conflict: conflict.key in (None, active))

    def refuse_if_active(self, kind: str) -> None:
        """Raise `OperationActive` if an exclusive operation of this type is running."""
        item = self._table.get(keys.active_operation(kind))
        if item:
            raise OperationActive(item.fields["operation"], kind)

    def get(self, operation: str) -> Operation | None:
        """Return an operation by its id, or None."""
        item = self._table.get(keys.operation(operation))
        return Operation.of(item) if item else None

    # --- the lease of one operation ---

    def claim(self, operation: str, owner: str, seconds: int) -> Operation | None:
        """Take the lease of an operation for `seconds`, and return the operation.

        None if the operation has ended, or if another worker holds a live lease. `owner` names the worker, for
        operators who read the table.
        """
        item, lease = self._table.get_many([keys.operation(operation), keys.lease(operation)])
        now = int(self._now())
        if item is None or item.fields["status"] in FINAL or (lease and lease.fields["until"] > now):
            return None
        claim, attempts = (lease.fields["claim"], lease.fields["attempts"]) if lease else (0, 0)
        claimed = replace(Operation.of(item), claim=claim + 1, attempts=attempts + 1)
        expect = Holds("claim", claim) if lease else Absent()
        try:
            self._table.write(
                Put(_lease(claimed, owner, now + seconds), expect), Require(keys.open_operation(operation), Present())
            )
        except Conflict:
            return None
        return claimed

    def extend(self, operation: Operation, owner: str, seconds: int) -> None:
        """Extend the lease to `seconds` from now. Raises `Conflict` if another worker took it."""
        self._table.write(Put(_lease(operation, owner, int(self._now()) + seconds), _claim_of(operation)))

    def release(self, operation: Operation, delay: int) -> None:
        """Release the lease: any worker may take it after `delay` seconds. Raises `Conflict` if another worker took
        it."""
        self.extend(operation, "", delay)

    def save(self, operation: Operation, owner: str, seconds: int) -> Operation:
        """Write the state of an operation and extend its lease by `seconds`. A final status ends it and deletes the
        lease.

        Raises `Conflict` if another worker took the lease. Nothing is written then.
        """
        now = self._now()
        saved = replace(operation, updated=clock.timestamp(now), attempts=0)
        kept = (Put(_lease(saved, owner, int(now) + seconds), _claim_of(saved)),)
        self._table.write(Put(saved.item, Present()), *(self._ending(saved) if saved.ended else kept))
        return saved

    def _ending(self, ended: Operation) -> Iterator[Change]:
        yield Delete(keys.lease(ended.id), _claim_of(ended))
        yield Delete(keys.open_operation(ended.id))
        yield Put(Item(keys.ended_operation(ended.status, ended.updated, ended.id), {}))
        if ended.exclusive:
            yield Delete(keys.active_operation(ended.type))

    # --- all operations ---

    def open(self, limit: int) -> list[Operation]:
        """Return up to `limit` operations that have not ended, the newest first. More than `limit` are in no order."""
        ids = [item.key.sk for item in self._table.query(keys.OPEN_OPERATIONS, limit=limit)]
        return sorted(self._found(ids), key=lambda each: each.created, reverse=True)

    def ended(self, limit: int, before: str = "") -> Iterator[Operation]:
        """Yield up to `limit` operations that have ended, by the time of their end, the newest first.

        `before` is the `place` of an operation: only those after it in this order are yielded.
        """
        each_status = (
            self._table.query(keys.ended_operations(status), keys.ended_by(before), reverse=True, limit=limit + 1)
            for status in sorted(FINAL)
        )
        places = (item.key.sk for item in merge(*each_status, key=lambda item: item.key.sk, reverse=True))
        wanted = islice((place for place in places if place != before), limit)
        while batch := [place.rpartition("/")[2] for place in islice(wanted, _READ_TOGETHER)]:
            yield from self._found(batch)

    def _found(self, ids: Sequence[str]) -> Iterator[Operation]:
        for item in self._table.get_many([keys.operation(each) for each in ids]):
            if item:
                yield Operation.of(item)

    def abandoned(self) -> list[str]:
        """Return the ids of operations that have not ended and have no live lease. The longest waiting comes first."""
        now = int(self._now())
        waiting: list[tuple[int, str]] = []
        open_operations = self._table.query(keys.OPEN_OPERATIONS)
        while batch := [item.key.sk for item in islice(open_operations, MAX_CHANGES)]:
            leases = self._table.get_many([keys.lease(each) for each in batch])
            untils = [lease.fields["until"] if lease else 0 for lease in leases]
            waiting += [each for each in zip(untils, batch, strict=True) if each[0] <= now]
        return [operation for _, operation in sorted(waiting)]

    def purge(self, kept: Mapping[str, int]) -> int:
        """Delete up to a hundred operations that ended longer ago than `kept`, seconds by status. Return how many."""
        purged = 0
        for status, seconds in kept.items():
            until = keys.ended_by(clock.timestamp(self._now() - seconds))
            for item in self._table.query(keys.ended_operations(status), until, limit=MAX_CHANGES - purged):
                operation = item.key.sk.rpartition("/")[2]
                self._table.write(Delete(keys.operation(operation)), Delete(item.key))
                purged += 1
        return purged


def _claim_of(operation: Operation) -> Holds:
    return Holds("claim", operation.claim)


def _lease(operation: Operation, owner: str, until: int) -> Item:
    lease = Lease(claim=operation.claim, attempts=operation.attempts, owner=owner, until=until)
    return Item(keys.lease(operation.id), encode(lease))
