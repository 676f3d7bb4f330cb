"""Background operations as they are kept: what was asked, how far it is, and who works on it (conformance §9.6).

An operation is worked on by whoever holds its *lease*, an item of its own whose `claim` number grows with each holder.
Every write of a holder expects its claim, so one that was thought dead and is not can do no harm. Of a type that runs
one at a time the operation in hand is named by an `active` item, written with its start and dropped with its end. So a
kill -9 leaves either no operation, or one that is open: without a live lease it is found again (`abandoned`), goes on
from its checkpoint and ends, and with it the `active` item.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

import orjson

from app.errors import Conflict, OperationActive
from app.storage.table import clock, keys
from app.storage.table.ports import MAX_CHANGES, Absent, Change, Delete, Holds, Item, Present, Put, Require, Table
from app.storage.table.retry import retry

NOT_STARTED: Final = "notStarted"
RUNNING: Final = "running"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
CANCELED: Final = "canceled"
FINAL: Final = frozenset({SUCCEEDED, FAILED, CANCELED})


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `request`, `checkpoint` and `results` are JSON: what was asked (no secrets), where the next step
    starts, running totals. Times are UTC as in `clock.timestamp`; `resources` are tag paths.

    `exclusive`: one of its type at a time. `claim` is the lease under which it was read, `attempts` how often it was
    claimed since it last got on.
    """

    id: str
    type: str
    status: str
    created: str
    updated: str
    percent: int | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    resources: tuple[str, ...] = ()
    exclusive: bool = False
    claim: int = 0
    attempts: int = 0

    @property
    def ended(self) -> bool:
        return self.status in FINAL

    @property
    def item(self) -> Item:
        fields: dict[str, Any] = {
            "type": self.type,
            "status": self.status,
            "created": self.created,
            "updated": self.updated,
            "exclusive": self.exclusive,
        }
        if self.percent is not None:
            fields["percent"] = self.percent
        said = {name: getattr(self, name) for name in ("request", "checkpoint", "results", "resources")}
        return Item(keys.operation(self.id), fields, orjson.dumps(said))

    @staticmethod
    def of(item: Item) -> Operation:
        f = item.fields
        said = orjson.loads(item.data)
        return Operation(
            item.key.pk.removeprefix("operation/"),
            f["type"],
            f["status"],
            f["created"],
            f["updated"],
            f.get("percent"),
            said["request"],
            said["checkpoint"],
            said["results"],
            tuple(said["resources"]),
            f["exclusive"],
        )


def new_id() -> str:
    """Return an id that no operation has: 32 lower-case hex digits."""
    return uuid.uuid4().hex


def _nothing(_: Operation) -> Iterable[Change]:
    return ()


class Operations:
    """The operations of a table."""

    def __init__(self, table: Table, now: Callable[[], float] = lambda: clock.now()) -> None:
        self._table = table
        self._now = now

    def start(
        self,
        kind: str,
        request: Mapping[str, Any],
        *,
        exclusive: bool = False,
        resources: Sequence[str] = (),
        named: str | None = None,
        alongside: Callable[[Operation], Iterable[Change]] = _nothing,
    ) -> Operation:
        """Write a new operation, in one write with the changes that `alongside` returns (95 at most).

        `named` is its id, if `new_id` made one before. Raises `OperationActive` when it is `exclusive` and one of its
        type is under way; `Conflict` when an expectation of `alongside` did not hold.
        """
        now = clock.timestamp(self._now())
        started = Operation(
            named or new_id(), kind, NOT_STARTED, now, now, None, request, {}, {}, tuple(resources), exclusive
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
        """Raise `OperationActive` if an exclusive operation of this type is under way."""
        item = self._table.get(keys.active_operation(kind))
        if item:
            raise OperationActive(item.fields["operation"], kind)

    def get(self, operation: str) -> Operation | None:
        """Return an operation, or None."""
        item = self._table.get(keys.operation(operation))
        return Operation.of(item) if item else None

    # --- working on one ---

    def claim(self, operation: str, owner: str, seconds: int) -> Operation | None:
        """Take the lease of an operation for `seconds`; None if it has ended, or someone else holds a live lease.

        `owner` is kept for whoever reads the table.
        """
        item, lease = self._table.get_many([keys.operation(operation), keys.lease(operation)])
        now = int(self._now())
        if item is None or item.fields["status"] in FINAL or (lease and lease.fields["until"] > now):
            return None
        claim, attempts = (lease.fields["claim"], lease.fields["attempts"]) if lease else (0, 0)
        taken = replace(Operation.of(item), claim=claim + 1, attempts=attempts + 1)
        expect = Holds("claim", claim) if lease else Absent()
        try:
            self._table.write(
                Put(_lease(taken, owner, now + seconds), expect), Require(keys.open_operation(operation), Present())
            )
        except Conflict:
            return None
        return taken

    def extend(self, operation: Operation, owner: str, seconds: int) -> None:
        """Keep the lease for `seconds` from now. Raises `Conflict` if it was lost."""
        self._table.write(Put(_lease(operation, owner, int(self._now()) + seconds), _held(operation)))

    def release(self, operation: Operation, delay: int) -> None:
        """Give the lease up; nobody takes it for `delay` seconds. Raises `Conflict` if it was lost."""
        self.extend(operation, "", delay)

    def save(self, operation: Operation, owner: str, seconds: int) -> Operation:
        """Write how far an operation is and keep the lease for `seconds` more; one with a final status has ended, and
        is nobody's any more.

        Raises `Conflict` if the lease was lost: then nothing was written.
        """
        now = self._now()
        saved = replace(operation, updated=clock.timestamp(now), attempts=0)
        kept = (Put(_lease(saved, owner, int(now) + seconds), _held(saved)),)
        self._table.write(Put(saved.item, Present()), *(self._ending(saved) if saved.ended else kept))
        return saved

    def _ending(self, ended: Operation) -> Iterator[Change]:
        yield Delete(keys.lease(ended.id), _held(ended))
        yield Delete(keys.open_operation(ended.id))
        yield Put(Item(keys.ended_operation(ended.status, ended.updated, ended.id), {}))
        if ended.exclusive:
            yield Delete(keys.active_operation(ended.type))

    # --- looking after all ---

    def abandoned(self) -> list[str]:
        """Return the ids of operations that have not ended and that nobody holds a live lease of, those that have
        waited longest first."""
        now = int(self._now())
        waiting: list[tuple[int, str]] = []
        still_open = self._table.query(keys.OPEN_OPERATIONS)
        while batch := [item.key.sk for item in islice(still_open, MAX_CHANGES)]:
            leases = self._table.get_many([keys.lease(each) for each in batch])
            untils = [lease.fields["until"] if lease else 0 for lease in leases]
            waiting += [each for each in zip(untils, batch, strict=True) if each[0] <= now]
        return [operation for _, operation in sorted(waiting)]

    def purge(self, kept: Mapping[str, int]) -> int:
        """Forget up to a hundred operations that ended longer ago than `kept`, seconds by status; return how many."""
        gone = 0
        for status, seconds in kept.items():
            until = keys.ended_by(clock.timestamp(self._now() - seconds))
            for item in self._table.query(keys.ended_operations(status), until, limit=MAX_CHANGES - gone):
                operation = item.key.sk.rpartition("/")[2]
                self._table.write(Delete(keys.operation(operation)), Delete(item.key))
                gone += 1
        return gone


def _held(operation: Operation) -> Holds:
    return Holds("claim", operation.claim)


def _lease(operation: Operation, owner: str, until: int) -> Item:
    fields = {"claim": operation.claim, "attempts": operation.attempts, "owner": owner, "until": until}
    return Item(keys.lease(operation.id), fields)
