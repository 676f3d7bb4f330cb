"""Small objects, in one SQLite file: for them a file of its own costs more than its bytes.

A file needs new names in folders, which the journal of the file system must have on disk. The log of SQLite keeps its
size and is written again and again, so its sync writes the bytes alone, once for all objects that were put before.
The file is another one than that of the table, so that the objects alone are enough to rebuild the table. SQLite uses
the pages of deleted objects again, so the file needs no compaction.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Final

import orjson

from app.durable_folders import sync_folder
from app.engines.embedded.files import RESERVED_BYTES
from app.engines.embedded.sqlite_file import SqliteFile, translated
from app.storage.table.ports import StoredBlob, starting

_CREATE: Final = """
CREATE TABLE IF NOT EXISTS object (key TEXT NOT NULL UNIQUE, modified REAL NOT NULL, body BLOB NOT NULL)"""
_PUT: Final = """
INSERT INTO object (key, modified, body) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET modified = excluded.modified, body = excluded.body"""
_GET: Final = "SELECT body FROM object WHERE key = ?"
_FOUND: Final = "SELECT key FROM object WHERE key IN (SELECT value FROM json_each(?))"
_DELETE: Final = "DELETE FROM object WHERE key = ?"
_LISTED: Final = """
SELECT key, length(body), modified FROM object WHERE key > ? AND key >= ? AND key <= ? ORDER BY key LIMIT ?"""

_PAGE: Final = 1000


class _Syncs:
    """Which writes of this process are on disk. `log` is the inode of the log whose name is on disk."""

    def __init__(self) -> None:
        self.written = 0
        self.done = 0
        self.log = 0
        self._counting = Lock()  # protects `written` and `done`

    def count_write(self) -> None:
        with self._counting:
            self.written += 1

    def synced(self, written: int) -> None:
        with self._counting:
            self.done = max(self.done, written)


class SmallBlobs(SqliteFile):
    """Objects in the SQLite file `path`. A put or a deletion survives a kill -9, and is on disk after `sync`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _CREATE)
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._syncs = _Syncs()

    def put(self, key: str, body: bytes) -> None:
        """Store an object. A kill -9 leaves it whole or not at all. A disk that is almost full takes none."""
        with translated():
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize < RESERVED_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._commits.run(partial(_put, key, time.time(), body), durable=False)
        self._syncs.count_write()

    def get(self, key: str) -> bytes | None:
        """Return the bytes of an object, None if there is none."""
        with translated():
            rows = self._reads.rows(_GET, (key,))
        return rows[0][0] if rows else None

    def delete(self, keys: Iterable[str]) -> None:
        """Remove the objects. A kill -9 leaves all of a thousand objects or none. Nothing is written if there is none.

        The bytes of a deleted object remain in the file until SQLite uses their pages again.
        """
        remaining = iter(keys)
        while chunk := list(islice(remaining, _PAGE)):
            with translated():
                found = self._reads.rows(_FOUND, (orjson.dumps(chunk).decode(),))
                if not found:
                    continue
                self._commits.run(partial(_delete, found), durable=False)
            self._syncs.count_write()

    def listed(self, prefix: str, after: str) -> Iterator[StoredBlob]:
        """Yield the objects in the order of their keys, a thousand in one read."""
        between = starting(prefix)
        while True:
            with translated():
                rows = self._reads.rows(_LISTED, (after, between.low, between.high, _PAGE))
            yield from (StoredBlob(*row) for row in rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]

    def sync(self) -> None:
        """Bring what this process has put or deleted before to the disk.

        Threads sync side by side. The kernel joins their syncs; a lock here would make some wait for two.
        """
        written = self._syncs.written
        if self._syncs.done >= written:
            return
        with translated():
            self._sync_log()
        self._syncs.synced(written)

    def after_fork_in_child(self) -> None:
        """Start without the connections and threads of the parent. The parent syncs what it has written."""
        super().after_fork_in_child()
        self._syncs = _Syncs()

    def _sync_log(self) -> None:
        """Sync the log of SQLite, and its name if the log is a new file. SQLite syncs when it moves the log itself."""
        try:
            log = os.open(self._log, os.O_RDONLY)
        except FileNotFoundError:
            return  # the last connection was closed, and SQLite has moved the log into the file
        try:
            os.fdatasync(log)
            number = os.fstat(log).st_ino
        finally:
            os.close(log)
        if number != self._syncs.log:
            sync_folder(self._log.parent)
            self._syncs.log = number


def _put(key: str, modified: float, body: bytes, connection: sqlite3.Connection) -> int:
    return connection.execute(_PUT, (key, modified, body)).rowcount


def _delete(found: Sequence[tuple[str]], connection: sqlite3.Connection) -> int:
    return connection.executemany(_DELETE, found).rowcount
