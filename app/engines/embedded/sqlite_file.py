"""One SQLite file in WAL mode, for any number of threads and processes of one machine."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from app.durable_folders import make_durably
from app.engines.embedded.commits import GroupCommit
from app.engines.embedded.connections import ReadConnections, connect
from app.errors import StorageUnavailable


@contextmanager
def translated() -> Iterator[None]:
    """Raise `StorageUnavailable` for errors of SQLite and of the disk."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StorageUnavailable from error


class SqliteFile:
    """The SQLite file `path`, which has one table. The file and its folders are created if they are missing.

    Connections are opened when they are needed. No connection is used on both sides of a fork.
    """

    def __init__(self, path: Path, create_table: str) -> None:
        self._reads = ReadConnections(path)
        self._commits = GroupCommit(path, path.with_name(path.name + ".lock"))
        with translated():
            make_durably(path.parent)
            with self._commits.exclusive():
                _create(path, create_table)
        _files.add(self)

    def close(self) -> None:
        """Close all connections. The next call opens those that it needs."""
        self.before_fork()
        self.after_fork_in_parent()

    def before_fork(self) -> None:
        """Close all connections and open none until the fork is over.

        The locks of SQLite belong to a process. A child that inherits a connection believes that it holds the locks of
        the parent, and the parent may then delete the log that the child still writes to.
        """
        self._reads.pause()
        self._commits.pause()

    def after_fork_in_parent(self) -> None:
        """Allow connections again."""
        self._commits.resume()
        self._reads.resume()

    def after_fork_in_child(self) -> None:
        """Start without the connections and threads of the parent."""
        self._commits.restart()
        self._reads.restart()


def _create(path: Path, create_table: str) -> None:
    connection = connect(path)
    try:
        connection.execute("PRAGMA page_size = 4096")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(create_table)
    finally:
        connection.close()


# --- fork -------------------------------------------------------------------------------------------------------------

_files: weakref.WeakSet[SqliteFile] = weakref.WeakSet()


def _each(step: Callable[[SqliteFile], None]) -> None:
    for file in tuple(_files):
        step(file)


os.register_at_fork(
    before=partial(_each, lambda file: file.before_fork()),
    after_in_parent=partial(_each, lambda file: file.after_fork_in_parent()),
    after_in_child=partial(_each, lambda file: file.after_fork_in_child()),
)
