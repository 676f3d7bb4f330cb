"""Connections to one SQLite file, and the idle ones that are lent to readers."""

from __future__ import annotations

import sqlite3
from collections import deque
from pathlib import Path
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
        self._idle: deque[sqlite3.Connection] = deque()

    def rows(self, statement: str, parameters: tuple[object, ...]) -> list[Any]:
        """Return all rows of one statement, read in one snapshot that is gone when this returns."""
        connection = self._take()
        rows = connection.execute(statement, parameters).fetchall()
        self._idle.append(connection)  # not reached after an error: a connection that failed is not lent again
        return rows

    def page(self, statement: str, parameters: tuple[object, ...], max_bytes: int) -> tuple[list[Any], bool]:
        """Return rows as `rows` does, and whether it stopped early.

        It stops after the row whose last two columns, byte strings, bring their sum over `max_bytes`.
        """
        connection = self._take()
        cursor = connection.execute(statement, parameters)
        rows = []
        for row in cursor:
            rows.append(row)
            max_bytes -= len(row[-2]) + len(row[-1])
            if max_bytes < 0:
                break
        cursor.close()  # ends the snapshot, so that the log can be folded back into the file
        self._idle.append(connection)
        return rows, max_bytes < 0

    def close(self) -> None:
        """Close the idle connections; the next read opens a new one."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return connect(self._path)
