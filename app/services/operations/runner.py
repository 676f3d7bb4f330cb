"""The runner of background operations (conformance §9.6): it claims them, runs their steps and saves their checkpoints.

The queue announces a new operation. The runner also scans the table for operations without a live lease. So a message
that is lost, late or doubled changes nothing, and operations finish while the queue is down.

A kill -9 leaves leases that expire within a minute. The next worker that claims the operation repeats the step that was
under way. The steps of every task can be repeated.

A worker holds a few operations and runs their steps in turn. If it holds as many as it may, a waiting operation
replaces one that completed a step since its claim. After too many failed attempts the task gives the operation up.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Final, Protocol

from msgspec.structs import replace
from structlog.contextvars import bind_contextvars, unbind_contextvars

from app import tracing
from app.errors import Conflict, StorageError
from app.storage.operations.operations import FAILED, RUNNING, Operation, Operations
from app.storage.table.ports import Message, Queue

LEASE_SECONDS: Final = 60
HEARTBEAT_SECONDS: Final = 15.0
"""Interval at which leases are extended while a step runs."""

SCAN_SECONDS: Final = 30.0
"""Interval at which the table is scanned for operations without a live lease."""

MAX_ATTEMPTS: Final = 8
"""Claims without a completed step, after which the task gives the operation up."""

MAX_HELD: Final = 8
"""Operations that one worker holds at once."""

_MAX_RETRY_DELAY_SECONDS: Final = 300
_MAX_REST_SECONDS: Final = 5.0


def announce(queue: Queue, operation: str) -> None:
    """Send the id of a stored operation to the workers. If the queue fails, the next scan finds the operation."""
    with suppress(StorageError):
        queue.send(operation)


class Task(Protocol):
    """The work of one type of operation."""

    def step(self, operation: Operation) -> Operation:
        """Process one batch, about a hundred items, and return the operation with its next checkpoint.

        It must be safe to repeat a step, and to run it while another worker runs it. A final status ends the operation.
        """
        ...

    def give_up(self, operation: Operation) -> Operation:
        """Return an operation whose next step failed too often: with a final status, or with a checkpoint beyond it.

        If this call fails too, the runner ends the operation as failed.
        """
        return replace(operation, status=FAILED)


class OperationObserver(Protocol):
    """Learns when operations begin and end, before it is saved. After a crash it may learn it again.

    An error that it raises counts as a failure of the step.
    """

    def beginning(self, operation: Operation) -> None:
        """Learn of an operation whose first step comes next."""
        ...

    def ending(self, operation: Operation) -> None:
        """Learn of an operation that has its final status."""
        ...


class _NoObserver:
    def beginning(self, operation: Operation) -> None:
        pass

    def ending(self, operation: Operation) -> None:
        pass


@dataclass(slots=True, kw_only=True)
class _HeldOperation:
    """An operation whose lease this worker holds, and the message that announced it. None if a scan found it."""

    operation: Operation
    message: Message | None


class OperationRunner:
    """Runs the steps of operations in turn.

    An idle runner waits up to `wait` seconds for a message. After each second of a step it rests for `rest_ratio`
    seconds, so that stores come first where the worker shares a machine with the server.
    """

    def __init__(
        self,
        operations: Operations,
        queue: Queue,
        tasks: Mapping[str, Task],
        *,
        wait: float = 0,
        rest_ratio: float = 0,
        monotonic: Callable[[], float] = time.monotonic,
        observer: OperationObserver | None = None,
    ) -> None:
        self._operations = operations
        self._observer = observer or _NoObserver()
        self._queue = queue
        self._tasks = tasks
        self._wait = wait
        self._rest_ratio = rest_ratio
        self._monotonic = monotonic
        self._owner = uuid.uuid4().hex
        self._held: deque[_HeldOperation] = deque()
        self._next_scan = self._next_heartbeat = monotonic()

    def run_once(self) -> bool:
        """Claim announced and abandoned operations, then run one step. Return whether there was anything to do.

        If the queue fails, the step runs first and then the `StorageError` is raised.
        """
        try:
            received = len(self._held) < MAX_HELD and self._receive()
        except StorageError:
            self._scan_and_step()
            raise
        return self._scan_and_step() or received

    def release_leases(self) -> None:
        """Release every lease and announce the operations again, so that other workers need not wait a minute."""
        while self._held:
            self._release(self._held.popleft())

    def _scan_and_step(self) -> bool:
        if self._monotonic() >= self._next_scan:
            self._next_scan = self._monotonic() + SCAN_SECONDS
            self._scan()
        if self._monotonic() >= self._next_heartbeat:
            self._extend_leases()
        if not self._held:
            return False
        self._run_step(self._held.popleft())
        return True

    # --- claiming and releasing ---

    def _receive(self) -> bool:
        message = self._queue.receive(0 if self._held else self._wait)
        if message is None:
            return False
        operation = self._operations.get(message.body)
        if operation and operation.type not in self._tasks:
            return True  # a worker of another release knows this type: the message becomes visible again for it
        if not (operation and self._claim(operation.id, message)):
            # The operation has ended, or another worker holds it. If that worker dies, a scan finds the operation.
            self._queue.done(message)
        return True

    def _scan(self) -> None:
        """Claim operations without a live lease, while there is a free place or one that can be replaced."""
        for abandoned in self._operations.abandoned():
            replaced = self._replaceable()
            if replaced is None and len(self._held) >= MAX_HELD:
                return
            operation = self._operations.get(abandoned)
            claimed = operation and operation.type in self._tasks and self._claim(abandoned, None)
            if claimed and replaced:
                self._held.remove(replaced)
                self._release(replaced)

    def _replaceable(self) -> _HeldOperation | None:
        """Return an operation that may be released for a waiting one, None if a place is free or all must be kept.

        An operation may be released once it completed a step since its claim. A claim without a completed step counts
        as a failed attempt.
        """
        if len(self._held) < MAX_HELD:
            return None
        return next((held for held in self._held if not held.operation.attempts), None)

    def _claim(self, operation: str, message: Message | None) -> bool:
        claimed = self._operations.claim(operation, self._owner, LEASE_SECONDS)
        if claimed is None:
            return False
        self._held.append(_HeldOperation(operation=claimed, message=message))
        return True

    def _release(self, held: _HeldOperation) -> None:
        with suppress(StorageError):  # Conflict: another worker holds the lease by now
            self._operations.release(held.operation, 0)
            self._queue.send(held.operation.id)
            if held.message:
                self._queue.done(held.message)

    # --- one step ---

    def _run_step(self, held: _HeldOperation) -> None:
        """Run one step and save its result. On any failure the lease is released, and the step is tried again later."""
        operation = replace(held.operation, status=RUNNING)
        # After a failure they stay bound, for the line of the caller that logs the failure.
        bind_contextvars(operation=operation.id, request_id=operation.request_id)
        saved = False
        try:
            with self._heartbeat(held):
                after = self._next_state(operation)
            with suppress(Conflict):  # another worker holds the lease by now
                held.operation = self._operations.save(after, self._owner, LEASE_SECONDS)
                saved = True
        finally:
            if not saved:
                with suppress(StorageError):
                    self._operations.release(operation, min(_MAX_RETRY_DELAY_SECONDS, 2**operation.attempts))
        if saved and not held.operation.ended:
            self._held.append(held)
        elif held.operation.ended and held.message:
            self._queue.done(held.message)
        unbind_contextvars("operation", "request_id")

    def _next_state(self, operation: Operation) -> Operation:
        if operation.updated == operation.created:  # no step was saved yet
            self._observer.beginning(operation)
        after = self._after_step(operation)
        if after.ended:
            self._observer.ending(after)
        return after

    def _after_step(self, operation: Operation) -> Operation:
        task = self._tasks[operation.type]
        if operation.attempts == MAX_ATTEMPTS + 1:
            return task.give_up(operation)
        if operation.attempts > MAX_ATTEMPTS:
            return replace(operation, status=FAILED)
        started = self._monotonic()
        with tracing.span("operation step", parent=operation.traceparent, operation_type=operation.type):
            after = task.step(operation)
        if not after.ended:
            time.sleep(min(self._rest_ratio * (self._monotonic() - started), _MAX_REST_SECONDS))
        return after

    @contextmanager
    def _heartbeat(self, working: _HeldOperation) -> Iterator[None]:
        """Extend the leases of this worker, and keep their messages invisible, while a step runs."""
        ended = threading.Event()

        def extend_until_ended() -> None:
            while not ended.wait(HEARTBEAT_SECONDS):
                self._extend_leases(working)

        context = copy_context()  # the log lines of the thread name the operation
        thread = threading.Thread(target=context.run, args=(extend_until_ended,), name="leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _extend_leases(self, *working: _HeldOperation) -> None:
        self._next_heartbeat = self._monotonic() + HEARTBEAT_SECONDS
        for held in (*working, *self._held):
            # A lost lease shows when the step is saved. After an outage the next heartbeat tries again.
            with suppress(StorageError):
                self._operations.extend(held.operation, self._owner, LEASE_SECONDS)
                if held.message:
                    held.message = self._queue.extend(held.message, 2 * LEASE_SECONDS)
