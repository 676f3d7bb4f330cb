"""Connections to one SQLite file, and a pool of them for reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from threading import Condition
from typing import Any, Final, TypeVar

from app.storage.table import deadline

T = TypeVar("T")

BUSY_SECONDS: Final = 30
"""How long a statement waits for a lock of another program. Our own writers wait in commits.py instead."""


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection in autocommit mode. Any thread may use it, one at a time."""
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def limit_wait(connection: sqlite3.Connection) -> bool:
    """Let statements wait for the locks of other programs no longer than the present request may wait.

    Return whether that needed a change, which `unlimit_wait` takes back. A second more or less needs none, because the
    change takes two statements.
    """
    left = deadline.seconds_left()
    if left > BUSY_SECONDS - 1:
        return False
    connection.execute(f"PRAGMA busy_timeout = {max(0, int(1000 * left))}")
    return True


def unlimit_wait(connection: sqlite3.Connection) -> None:
    """Let statements wait as long as at first."""
    connection.execute(f"PRAGMA busy_timeout = {1000 * BUSY_SECONDS}")


class ReadConnections:
    """A pool of connections for reads. It has as many connections as there were reads at the same time."""

    def __init__(self, path: Path, connect: Callable[[Path], sqlite3.Connection] = connect) -> None:
        self._path = path
        self._connect = connect
        self.restart()

    def rows(self, statement: str, parameters: tuple[object, ...]) -> list[Any]:
        """Return all rows of one statement. The snapshot that they are read from ends when this returns."""
        return self._read(lambda connection: connection.execute(statement, parameters).fetchall())

    def page(self, statement: str, parameters: tuple[object, ...], max_bytes: int) -> tuple[list[Any], bool]:
        """Return rows as `rows` does, and whether some are missing.

        The last two columns of a row are byte strings. It stops after the row with which their total size exceeds
        `max_bytes`.
        """
        return self._read(lambda connection: _page(connection.execute(statement, parameters), max_bytes))

    def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of `read` on a connection. If it fails, the connection is not used again."""
        connection = self._borrow()
        try:
            is_limited = limit_wait(connection)
            found = read(connection)
            if is_limited:
                unlimit_wait(connection)
        except BaseException:
            self._drop(connection)
            raise
        self._give_back(connection)
        return found

    def _borrow(self) -> sqlite3.Connection:
        with self._state:
            while self._paused:
                self._state.wait()
            connection = self._idle.pop() if self._idle else self._connect(self._path)
            self._in_use += 1
        return connection

    def _drop(self, connection: sqlite3.Connection) -> None:
        """Close a connection that failed. It is not used again."""
        connection.close()
        self._give_back()

    def _give_back(self, *connections: sqlite3.Connection) -> None:
        with self._state:
            self._idle.extend(connections)
            self._in_use -= 1
            if self._paused:
                self._state.notify_all()

    # --- closing and forking ----------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Wait for the current reads and close every connection. No read begins before `resume` or `restart`."""
        with self._state:
            self._paused = True
            while self._in_use:
                self._state.wait()
            while self._idle:
                self._idle.pop().close()

    def resume(self) -> None:
        """End a pause. The next read opens a connection."""
        with self._state:
            self._paused = False
            self._state.notify_all()

    def restart(self) -> None:
        """End a pause in a forked child. The threads that held locks or waited do not exist in the child."""
        self._state = Condition()  # protects the fields below
        self._idle: list[sqlite3.Connection] = []
        self._in_use = 0
        self._paused = False


def _page(cursor: sqlite3.Cursor, max_bytes: int) -> tuple[list[Any], bool]:
    """Return as `ReadConnections.page`."""
    rows = []
    for row in cursor:
        rows.append(row)
        max_bytes -= len(row[-2]) + len(row[-1])
        if max_bytes < 0:
            break
    cursor.close()  # ends the snapshot, so that SQLite can move the log into the file
    return rows, max_bytes < 0
