"""The table of a data folder that exists, for reads alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from app.engines.embedded.connections import BUSY_SECONDS, ReadConnections
from app.engines.embedded.sqlite import SqliteTable
from app.storage.table.ports import Change, Delete, Key, PlainChange


class ExistingTable(SqliteTable):
    """A `Table` in the file `path`, which another process may use. Nothing is created, and nothing is written.

    Writes raise `TypeError`. Reads raise `StorageUnavailable` if there is no such file, or if it is damaged.
    """

    def __init__(self, path: Path) -> None:
        # The base class creates the file, so its constructor is not called. There is nothing to close before a fork:
        # the commands that use this class do not fork.
        self._reads = ReadConnections(path, _connect)

    def write(self, *changes: Change, before: Sequence[PlainChange] = (), after: Sequence[Delete] = ()) -> None:
        raise TypeError("This table is for reads.")

    def write_each(self, changes: Iterable[PlainChange], *, durable: bool = True) -> None:
        raise TypeError("This table is for reads.")

    def add(self, key: Key, counter: str, by: int) -> int:
        raise TypeError("This table is for reads.")


def _connect(path: Path) -> sqlite3.Connection:
    # SQLite leaves its log and its shared memory behind when a reader closes the file. Without a log nobody uses the
    # file, and SQLite can read it without them.
    in_use = path.with_name(f"{path.name}-wal").exists()
    uri = f"{path.absolute().as_uri()}?{'mode=ro' if in_use else 'immutable=1'}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
