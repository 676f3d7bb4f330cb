"""Connections to one SQLite file, and the idle ones that are lent to readers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import Any, Final

BUSY_SECONDS: Final = 30
"""How long a statement waits for a foreign lock; our own writers queue before they reach SQLite (commits.py)."""


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection in autocommit mode, usable from any thread, one at a time."""
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


class Readers:
    """Runs reads on idle connections. There are as many as reads ran at once, however many threads come and go."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.restart()

    def rows(self, statement: str, parameters: tuple[object, ...]) -> list[Any]:
        """Return all rows of one statement, read in one snapshot that is gone when this returns."""
        with self._lent() as connection:
            return connection.execute(statement, parameters).fetchall()

    def page(self, statement: str, parameters: tuple[object, ...], max_bytes: int) -> tuple[list[Any], bool]:
        """Return rows as `rows` does, and whether it stopped early.

        It stops after the row whose last two columns, byte strings, bring their sum over `max_bytes`.
        """
        rows = []
        with self._lent() as connection:
            cursor = connection.execute(statement, parameters)
            for row in cursor:
                rows.append(row)
                max_bytes -= len(row[-2]) + len(row[-1])
                if max_bytes < 0:
                    break
            cursor.close()  # ends the snapshot, so that the log can be folded back into the file
        return rows, max_bytes < 0

    @contextmanager
    def _lent(self) -> Iterator[sqlite3.Connection]:
        with self._state:
            while self._paused:
                self._state.wait()
            connection = self._idle.pop() if self._idle else connect(self._path)
            self._in_use += 1
        try:
            yield connection
        except BaseException:
            connection.close()  # one that failed is not lent again
            self._give_back()
            raise
        self._give_back(connection)

    def _give_back(self, *connections: sqlite3.Connection) -> None:
        with self._state:
            self._idle.extend(connections)
            self._in_use -= 1
            if self._paused:
                self._state.notify_all()

    # --- closing and forking ----------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Wait for the reads under way, close every connection, and let no read begin before `resume` or `restart`."""
        with self._state:
            self._paused = True
            while self._in_use:
                self._state.wait()
            while self._idle:
                self._idle.pop().close()

    def resume(self) -> None:
        """End a pause; the next read opens a connection."""
        with self._state:
            self._paused = False
            self._state.notify_all()

    def restart(self) -> None:
        """End a pause in a forked child, where the threads that held locks or waited no longer are."""
        self._state = Condition()  # guards what follows
        self._idle: list[sqlite3.Connection] = []
        self._in_use = 0
        self._paused = False
