"""Group commit: the writes of several threads share one SQLite transaction, so that they share one fsync.

The first writer becomes the leader. It takes the lock file and runs the statements of all waiting writers in one
transaction. It commits, and makes the next waiting writer the leader. Other processes wait for the lock file in the
kernel. SQLite itself would let them sleep and try again, which is slower.

A kill -9 leaves nothing behind: the kernel releases the lock, and SQLite rolls the unfinished transaction back.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Final

from app.engines.embedded.connections import BUSY_SECONDS, connect, limit_wait, unlimit_wait
from app.errors import Conflict, StorageUnavailable
from app.storage.table import deadline

Statements = Callable[[sqlite3.Connection], int]
"""Reads and writes in a transaction. The function may raise Conflict or TypeError, but only before its first write."""

LARGEST_LOG: Final = 64 * 1024 * 1024
"""By how many bytes the write-ahead log of SQLite grows before it is truncated.

SQLite truncates it by itself only when there is no reader. With readers all the time, the log would grow for ever.
"""

_CHECKPOINT_PAGES: Final = 4000
"""Pages in the log at which SQLite moves them into the file, which takes two syncs. Many stores change the same pages,
so fewer pages are moved than with SQLite's 1,000. A reader looks for its pages in the whole log."""

_EXTENDED_LOG: Final = _CHECKPOINT_PAGES * (4096 + 24)
"""Bytes to which the log is extended with zeros. Later syncs then write no new size to the journal of the file system.
SQLite takes zeros for the end of the log. A page has a header of 24 bytes there."""

_COMMITS_BEFORE_EXTENSION: Final = 50
"""Commits of a connection after which the log is extended. A command that writes little does not extend it."""

_TRUNCATION_MILLISECONDS: Final = 1000
"""How long a truncation waits for the readers. If they do not end, the log keeps growing until the next attempt."""

_TEMPORARY_IN_MEMORY: Final = "PRAGMA temp_store = MEMORY"
"""A statement of several rows copies each page before it changes the page, to be able to undo the statement alone. By
default SQLite creates a temporary file for the copies, in each transaction. The copies of one statement are few."""

_SYNCHRONOUS: Final = {True: "PRAGMA synchronous = FULL", False: "PRAGMA synchronous = NORMAL"}


class _PendingWrite:
    """The statements of one writer, which wait for their commit, and then their result.

    It counts as failed until the leader says otherwise: if the leader dies, no waiting thread reports a success.
    """

    __slots__ = ("durable", "error", "is_leader", "result", "statements", "wake_up")

    def __init__(self, statements: Statements, durable: bool) -> None:
        self.statements = statements
        self.durable = durable
        self.result = 0
        self.error: Exception | None = StorageUnavailable()
        self.is_leader = False
        self.wake_up = Lock()  # released by the leader
        self.wake_up.acquire()


class GroupCommit:
    """Writes to the SQLite file `path`. All processes that write to it use the same `lock` file."""

    def __init__(self, path: Path, lock: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._lock = lock
        self._start()

    def _start(self) -> None:
        self._mutex = Lock()  # protects _waiting and _has_leader
        self._waiting: list[_PendingWrite] = []
        self._has_leader = False
        self._writing = Lock()  # protects the fields below
        self._lock_file: BinaryIO | None = None
        self._connection: sqlite3.Connection | None = None
        self._durable: bool | None = None
        self._log_limit = LARGEST_LOG
        self._commits = 0

    def run(self, statements: Statements, *, durable: bool) -> int:
        """Run the statements in a transaction, commit, and return their result.

        With `durable` the transaction is on disk when this returns. Raises what the statements raise; sqlite3.Error or
        OSError when the file cannot be written; StorageUnavailable when this happened in the leader's thread;
        `DeadlinePassed` when the request may wait no longer. The leader waits for another process that commits, however
        long that takes.
        """
        write = _PendingWrite(statements, durable)
        self._wait_for_turn(write)
        if write.is_leader:
            self._lead(write)
        if write.error is not None:
            raise write.error
        return write.result

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Exclude every other writer, in this process and in others."""
        with self._writing:
            if self._lock_file is None:
                self._lock_file = self._lock.open("ab", buffering=0)  # unlike a number, an object closes its file
            fcntl.flock(self._lock_file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    # --- leader and followers ---------------------------------------------------------------------------------------

    def _wait_for_turn(self, write: _PendingWrite) -> None:
        """Wait until a leader has run the statements, or until this thread becomes the leader.

        Raises `DeadlinePassed` when the time of the request is over. The statements may still be run then.
        """
        try:
            with self._mutex:
                self._waiting.append(write)
                write.is_leader, self._has_leader = not self._has_leader, True
            if not write.is_leader and not write.wake_up.acquire(timeout=deadline.lock_timeout()):
                raise deadline.DeadlinePassed
        except BaseException:  # also one that a signal handler raised: the other threads must not wait for this one
            with self._mutex:
                if write in self._waiting:
                    self._waiting.remove(write)
                    if write.is_leader:
                        self._choose_leader()
            raise

    def _lead(self, own: _PendingWrite) -> None:
        batch: list[_PendingWrite] = []
        try:
            with self.exclusive():
                with self._mutex:
                    batch, self._waiting = self._waiting, []
                self._commit(batch)
        finally:
            with self._mutex:
                if own in self._waiting:
                    self._waiting.remove(own)
                self._choose_leader()
            for write in batch:
                if write is not own:
                    write.wake_up.release()

    def _choose_leader(self) -> None:
        self._has_leader = bool(self._waiting)
        if self._has_leader:
            self._waiting[0].is_leader = True
            self._waiting[0].wake_up.release()

    # --- the transaction --------------------------------------------------------------------------------------------

    def _commit(self, batch: list[_PendingWrite]) -> None:
        outcomes: list[tuple[int, Exception | None]] = []
        try:
            connection = self._connected(durable=any(write.durable for write in batch))
            is_limited = limit_wait(connection)
            connection.execute("BEGIN IMMEDIATE")
            if is_limited:
                unlimit_wait(connection)
            for write in batch:
                try:
                    outcomes.append((write.statements(connection), None))
                except (Conflict, TypeError) as refusal:  # it has written nothing, so the others go on
                    outcomes.append((0, refusal))
            connection.execute("COMMIT")
        except BaseException:
            self._disconnect()  # rolls back
            raise
        for write, outcome in zip(batch, outcomes, strict=True):
            write.result, write.error = outcome
        self._truncate_large_log(connection)
        self._commits += 1
        if self._commits == _COMMITS_BEFORE_EXTENSION:
            self._extend_log()

    def _extend_log(self) -> None:
        """Write zeros after the end of the log. No other process writes to it meanwhile. A kill -9 leaves fewer."""
        with suppress(OSError), self._log.open("r+b", buffering=0) as log:  # the commit is done, with or without this
            left = _EXTENDED_LOG - log.seek(0, os.SEEK_END)
            while left > 0:
                left -= log.write(bytes(min(left, 1024 * 1024)))

    def _truncate_large_log(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error, OSError):  # the commit is done, with or without this
            if self._log.stat().st_size < self._log_limit:
                return
            connection.execute(f"PRAGMA busy_timeout = {_TRUNCATION_MILLISECONDS}")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
            self._log_limit = self._log.stat().st_size + LARGEST_LOG
            self._commits = 0

    def _connected(self, *, durable: bool) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self._path)
            self._commits = 0
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            self._connection.execute(_TEMPORARY_IN_MEMORY)
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
        """Wait for the current commit and close everything. No commit begins before `resume` or `restart`."""
        self._writing.acquire()
        self._disconnect()
        if self._lock_file is not None:
            self._lock_file.close()
        self._lock_file = None

    def resume(self) -> None:
        """End a pause. The next write opens a connection."""
        self._writing.release()

    def restart(self) -> None:
        """End a pause in a forked child. The threads that held locks or waited do not exist in the child."""
        self._start()
