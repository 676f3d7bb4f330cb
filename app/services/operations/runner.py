"""The one runner of background operations (conformance §9.6): claims them, takes their steps in turn, keeps what was reached.

Work is announced on a queue, and found by looking now and then for operations that nobody holds: a message lost or
doubled changes nothing, nor does a queue that is out of order. A worker killed at any point loses its leases a minute
later; whoever claims the operation then repeats the step under way, which every task's steps allow. An operation that
gets nowhere time after time is given up by its task. A worker holds a few at a time; those that have waited longest
take the place of those that have got on.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol

from app.errors import Conflict, StorageError
from app.storage.operations.operations import FAILED, RUNNING, Operation, Operations
from app.storage.table.ports import Message, Queue

LEASE_SECONDS: Final = 60
BEAT_SECONDS: Final = 15.0
"""How often leases are extended while a step runs."""

SCAN_SECONDS: Final = 30.0
"""How often operations that nobody holds are looked for."""

MAX_ATTEMPTS: Final = 8
"""How often an operation is claimed without getting on before its task gives up."""

MAX_HELD: Final = 8
"""Operations that one worker has in hand; the rest is left to others, or to later."""

_LONGEST_REST: Final = 300
_LONGEST_BREATH: Final = 5.0

SHOWN: Final = frozenset({"reindex", "export", "update"})
"""Types that callers may ask about; the rest is the service's own (conformance §9.3)."""


class OperationDirectory:
    """Answers what became of an operation."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def find(self, operation: str) -> Operation | None:
        """Return an operation that callers may ask about, by its 32 lower-case hex digits, or None."""
        found = self._operations.get(operation)
        return found if found and found.type in SHOWN else None


def announce(queue: Queue, operation: str) -> None:
    """Announce an operation that is written; should that fail, it is found by looking, half a minute later."""
    with suppress(StorageError):
        queue.send(operation)


class Task(Protocol):
    """What one type of operation does."""

    def step(self, operation: Operation) -> Operation:
        """Do one batch, about a hundred items, and return the operation with where the next one starts.

        Safe to repeat, and to run beside a worker that was thought dead. A final status ends the operation.
        """
        ...

    def give_up(self, operation: Operation) -> Operation:
        """Return what becomes of an operation whose next step failed time after time: it ends, or goes on elsewhere.

        Should this fail too, the operation fails as it is.
        """
        return replace(operation, status=FAILED)


@dataclass(slots=True)
class _Held:
    """An operation whose lease is ours, and the message that announced it."""

    operation: Operation
    message: Message | None


class OperationRunner:
    """Takes steps of operations, one after another in turn.

    `wait` seconds may pass in waiting for an announcement. `pace` seconds of rest follow each second of a step: where
    the worker shares its machine with the server, stores come first.
    """

    def __init__(
        self,
        operations: Operations,
        queue: Queue,
        tasks: Mapping[str, Task],
        *,
        wait: float = 0,
        pace: float = 0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._operations = operations
        self._queue = queue
        self._tasks = tasks
        self._wait = wait
        self._pace = pace
        self._monotonic = monotonic
        self._owner = uuid.uuid4().hex
        self._held: deque[_Held] = deque()
        self._next_scan = self._next_beat = monotonic()

    def run_once(self) -> bool:
        """Take up what is announced or abandoned, then take one step; tell whether there was anything to do.

        A queue that cannot be reached is told of (`StorageError`) after that.
        """
        try:
            found = len(self._held) < MAX_HELD and self._receive()
        except StorageError:
            self._work()
            raise
        return self._work() or found

    def hand_over(self) -> None:
        """Give up every lease and announce the operations anew, so that they need not wait for the leases to end."""
        while self._held:
            self._let_go(self._held.popleft())

    def _work(self) -> bool:
        if self._monotonic() >= self._next_scan:
            self._next_scan = self._monotonic() + SCAN_SECONDS
            self._scan()
        if self._monotonic() >= self._next_beat:
            self._extend()
        if not self._held:
            return False
        self._step(self._held.popleft())
        return True

    # --- taking up, letting go ---

    def _receive(self) -> bool:
        message = self._queue.receive(0 if self._held else self._wait)
        if message is None:
            return False
        operation = self._operations.get(message.body)
        known = operation is None or operation.type in self._tasks
        if known and not (operation and self._take_up(operation.id, message)):
            self._queue.done(message)  # it has ended, or someone holds it: should they die, the scan finds it
        return True

    def _scan(self) -> None:
        """Take up what nobody holds. Where all places are taken, what has got on since it was claimed makes room."""
        for abandoned in self._operations.abandoned():
            leaves = self._leaving()
            if leaves is None and len(self._held) >= MAX_HELD:
                return
            operation = self._operations.get(abandoned)
            taken = operation and operation.type in self._tasks and self._take_up(abandoned, None)
            if taken and leaves:
                self._held.remove(leaves)
                self._let_go(leaves)

    def _leaving(self) -> _Held | None:
        if len(self._held) < MAX_HELD:
            return None
        return next((held for held in self._held if not held.operation.attempts), None)

    def _take_up(self, operation: str, message: Message | None) -> bool:
        claimed = self._operations.claim(operation, self._owner, LEASE_SECONDS)
        if claimed is None:
            return False
        self._held.append(_Held(claimed, message))
        return True

    def _let_go(self, held: _Held) -> None:
        with suppress(StorageError):  # a lease that was lost is another's by now
            self._operations.release(held.operation, 0)
            self._queue.send(held.operation.id)
            if held.message:
                self._queue.done(held.message)

    # --- one step ---

    def _step(self, held: _Held) -> None:
        """Take one step. Whatever goes wrong in it, the operation is let go, to be tried again later."""
        operation = replace(held.operation, status=RUNNING)
        got_on = False
        try:
            with self._beating(held):
                after = self._taken(operation)
            with suppress(Conflict):  # another worker has it by now
                held.operation = self._operations.save(after, self._owner, LEASE_SECONDS)
                got_on = True
        finally:
            if not got_on:
                with suppress(StorageError):
                    self._operations.release(operation, min(_LONGEST_REST, 2**operation.attempts))
        if not held.operation.ended:
            self._held.extend([held] if got_on else [])
        elif held.message:
            self._queue.done(held.message)

    def _taken(self, operation: Operation) -> Operation:
        task, vain = self._tasks[operation.type], operation.attempts - MAX_ATTEMPTS
        if vain > 0:
            return task.give_up(operation) if vain == 1 else replace(operation, status=FAILED)
        started = self._monotonic()
        after = task.step(operation)
        if not after.ended:
            time.sleep(min(self._pace * (self._monotonic() - started), _LONGEST_BREATH))
        return after

    @contextmanager
    def _beating(self, working: _Held) -> Iterator[None]:
        """Keep every lease held here, and hide the messages, for as long as the step takes."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT_SECONDS):
                self._extend(working)

        thread = threading.Thread(target=beat, name="leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _extend(self, *working: _Held) -> None:
        self._next_beat = self._monotonic() + BEAT_SECONDS
        for held in (*working, *self._held):
            # What is lost shows when it is saved; what cannot be reached now is tried again in a moment.
            with suppress(StorageError):
                self._operations.extend(held.operation, self._owner, LEASE_SECONDS)
                if held.message:
                    held.message = self._queue.extend(held.message, 2 * LEASE_SECONDS)
