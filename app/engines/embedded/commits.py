"""Group commit: the writes of many threads go into one SQLite transaction, so that one fsync serves them all.

The first writer to come leads: it takes the lock file (other processes queue there, in the kernel, instead of in
SQLite's sleeping busy handler), runs every operation that waits, commits, and hands the lead to the next one waiting.
The kernel drops the lock of a killed process, and SQLite drops its unfinished transaction.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Final

from app.engines.embedded.connections import BUSY_SECONDS, connect
from app.errors import Conflict, StorageUnavailable

Operation = Callable[[sqlite3.Connection], int]
"""Reads and writes inside the transaction. It may raise Conflict (or TypeError) before it writes anything."""

LARGEST_LOG: Final = 64 * 1024 * 1024
"""How many bytes SQLite's log grows before it is begun anew. SQLite does that by itself only in a moment when nobody
reads, which never comes where readers come and go without a break."""

_PATIENCE: Final = 1000
"""How long writers then wait for those who read, in milliseconds; should they not come to an end, the log grows on."""

_SYNCHRONOUS: Final = {True: "PRAGMA synchronous = FULL", False: "PRAGMA synchronous = NORMAL"}


class _Ticket:
    """One operation on its way through a commit. Unless told better it has failed, so nobody trusts a lost one."""

    __slots__ = ("durable", "error", "leads", "operation", "turn", "value")

    def __init__(self, operation: Operation, durable: bool) -> None:
        self.operation = operation
        self.durable = durable
        self.value = 0
        self.error: Exception | None = StorageUnavailable()
        self.leads = False
        self.turn = Lock()
        self.turn.acquire()


class GroupCommit:
    """The one way to write to a file; `lock` is a file beside it that orders the processes."""

    def __init__(self, path: Path, lock: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._lock = lock
        self._start()

    def _start(self) -> None:
        self._mutex = Lock()  # guards _waiting and _led
        self._waiting: list[_Ticket] = []
        self._led = False
        self._writing = Lock()  # guards what follows
        self._lock_file: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._durable: bool | None = None
        self._log_limit = LARGEST_LOG

    def run(self, operation: Operation, *, durable: bool) -> int:
        """Run the operation in a transaction, commit, and return what it returned.

        With `durable` the transaction is on disk by then. Raises what the operation raised; sqlite3.Error or OSError
        when the file cannot be written; StorageUnavailable when another thread met such an error on our behalf.
        """
        ticket = _Ticket(operation, durable)
        self._queue(ticket)
        if ticket.leads:
            self._lead(ticket)
        if ticket.error is not None:
            raise ticket.error
        return ticket.value

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep every other writer out, in this process and in others."""
        with self._writing:
            if self._lock_file is None:
                self._lock_file = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._lock_file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    # --- taking turns -----------------------------------------------------------------------------------------------

    def _queue(self, ticket: _Ticket) -> None:
        """Wait until the operation has been run, or is to be run by its own thread, which then leads."""
        try:
            with self._mutex:
                self._waiting.append(ticket)
                ticket.leads, self._led = not self._led, True
            if not ticket.leads:
                ticket.turn.acquire()
        except BaseException:  # a signal handler raised in this thread: the others must not wait for it to lead
            with self._mutex:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
                    if ticket.leads:
                        self._promote()
            raise

    def _lead(self, own: _Ticket) -> None:
        batch: list[_Ticket] = []
        try:
            with self.exclusive():
                with self._mutex:
                    batch, self._waiting = self._waiting, []
                self._commit(batch)
        finally:
            with self._mutex:
                if own in self._waiting:
                    self._waiting.remove(own)
                self._promote()
            for ticket in batch:
                if ticket is not own:
                    ticket.turn.release()

    def _promote(self) -> None:
        self._led = bool(self._waiting)
        if self._led:
            self._waiting[0].leads = True
            self._waiting[0].turn.release()

    # --- the transaction --------------------------------------------------------------------------------------------

    def _commit(self, batch: list[_Ticket]) -> None:
        outcomes: list[tuple[int, Exception | None]] = []
        try:
            connection = self._prepared(durable=any(ticket.durable for ticket in batch))
            connection.execute("BEGIN IMMEDIATE")
            for ticket in batch:
                try:
                    outcomes.append((ticket.operation(connection), None))
                except (Conflict, TypeError) as refusal:
                    outcomes.append((0, refusal))
            connection.execute("COMMIT")
        except BaseException:
            self._disconnect()  # rolls back
            raise
        for ticket, outcome in zip(batch, outcomes, strict=True):
            ticket.value, ticket.error = outcome
        self._bound_log(connection)

    def _bound_log(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error, OSError):  # what is committed is committed, whatever becomes of the log
            if self._log.stat().st_size < self._log_limit:
                return
            connection.execute(f"PRAGMA busy_timeout = {_PATIENCE}")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
            self._log_limit = self._log.stat().st_size + LARGEST_LOG

    def _prepared(self, *, durable: bool) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self._path)
        if durable != self._durable:
            self._connection.execute(_SYNCHRONOUS[durable])
            self._durable = durable
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._durable = None

    # --- closing and forking ----------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Wait for the commit under way, close everything, and let no other begin before `resume` or `restart`."""
        self._writing.acquire()
        self._disconnect()
        if self._lock_file is not None:
            os.close(self._lock_file)
        self._lock_file = None

    def resume(self) -> None:
        """End a pause; the next write opens what it needs."""
        self._writing.release()

    def restart(self) -> None:
        """End a pause in a forked child, where the threads that held locks or waited no longer are."""
        self._start()
