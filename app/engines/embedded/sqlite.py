"""The `Table` port on one SQLite file in WAL mode, shared by any number of threads and processes of one machine.

The table has a rowid and a unique index. WITHOUT ROWID is slower here: it writes 30 small items and one of 2 KB in
0.7 ms instead of 0.5 ms, and reads are not faster. Pages of more than 4 KiB are slower too. Every read is one
statement, so no snapshot stays open while a caller iterates.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

import orjson

from app.engines.changes import check_items, check_keys, check_plain, check_range, check_total
from app.engines.embedded.sqlite_file import SqliteFile, translated
from app.errors import Conflict
from app.storage.table.ports import (
    ALL,
    Absent,
    Add,
    Change,
    Delete,
    Expectation,
    Holds,
    Item,
    Key,
    PlainChange,
    Present,
    Put,
    Range,
)

_CREATE: Final = """
CREATE TABLE IF NOT EXISTS item (
    pk TEXT NOT NULL, sk TEXT NOT NULL, fields BLOB NOT NULL, data BLOB NOT NULL, UNIQUE (pk, sk)
)"""
_GET: Final = "SELECT fields, data FROM item WHERE pk = ? AND sk = ?"
_GET_MANY: Final = """
SELECT wanted.key, item.fields, item.data FROM json_each(?) AS wanted
CROSS JOIN item ON item.pk = json_extract(wanted.value, '$[0]') AND item.sk = json_extract(wanted.value, '$[1]')"""
_COUNT: Final = "SELECT count(*) FROM item WHERE pk = ? AND sk >= ? AND sk <= ?"
_PAGE: Final = "SELECT sk, fields, data FROM item WHERE pk = ? AND sk {} ? AND sk {} ? ORDER BY sk {} LIMIT ?"
_FORWARD: Final = _PAGE.format(">=", "<=", "ASC"), _PAGE.format(">", "<=", "ASC")
_BACKWARD: Final = _PAGE.format(">=", "<=", "DESC"), _PAGE.format(">=", "<", "DESC")
_ITEMS: Final = "SELECT pk, sk, fields, data FROM item WHERE (pk, sk) > (?, ?) ORDER BY pk, sk LIMIT ?"
_PUT: Final = """
INSERT INTO item (pk, sk, fields, data) VALUES {}
ON CONFLICT (pk, sk) DO UPDATE SET fields = excluded.fields, data = excluded.data"""
_DELETE: Final = "DELETE FROM item WHERE pk = ? AND sk = ?"

_ABOVE_ALL: Final = b""
"""An upper bound for every sort key: SQLite orders every BLOB after every TEXT."""

_FIRST_PAGE: Final = 100
_LARGEST_PAGE: Final = 1000
_ROWS_TOGETHER: Final = 50
"""Rows that one statement writes. Each statement lets other threads run, and then waits for them."""

_PAGE_BYTES: Final = 1_000_000

_Row = tuple[str, str, bytes, bytes]


class SqliteTable(SqliteFile):
    """A `Table` in the file `path`. The file and its folders are created if they are missing.

    A `write` is on disk when it returns. An `add` reaches the disk with the next `write`. After a kill -9 or a power
    loss each write is there completely or not at all. A `write` calls `sync_first` before its transaction: it makes
    what the transaction may refer to durable.
    """

    def __init__(self, path: Path, *, sync_first: Callable[[], None] = lambda: None) -> None:
        super().__init__(path, _CREATE)
        self._sync_first = sync_first

    def get(self, key: Key) -> Item | None:
        """Return the item, or None."""
        with translated():
            rows = self._reads.rows(_GET, key)
        return Item(key, orjson.loads(rows[0][0]), rows[0][1]) if rows else None

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """Return one entry for each key, in the order of `keys`. All are read from one snapshot."""
        found: list[Item | None] = [None] * len(keys)
        with translated():
            rows = self._reads.rows(_GET_MANY, (orjson.dumps(list(map(tuple, keys))).decode(),)) if keys else []
        for position, fields, data in rows:
            found[position] = Item(keys[position], orjson.loads(fields), data)
        return found

    def query(
        self, pk: str, between: Range = ALL, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[Item]:
        """Yield the items in order. They are read in pages of growing size, of about a megabyte at most."""
        check_range(between)
        first, following = _BACKWARD if reverse else _FORWARD
        statement, low, high = first, between.low, between.high or _ABOVE_ALL
        size, left = (_FIRST_PAGE, sys.maxsize) if limit is None else (_LARGEST_PAGE, limit)
        while left > 0:
            size = min(size, left)
            with translated():
                rows, is_cut = self._reads.page(statement, (pk, low, high, size), _PAGE_BYTES)
            for sk, fields, data in rows:
                yield Item(Key(pk, sk), orjson.loads(fields), data)
            if len(rows) < size and not is_cut:
                return
            statement = following
            low, high = (low, rows[-1][0]) if reverse else (rows[-1][0], high)
            size, left = min(4 * size, _LARGEST_PAGE), left - len(rows)

    def count(self, pk: str, between: Range = ALL) -> int:
        """Return how many items are in the range. SQLite reads the index only."""
        check_range(between)
        with translated():
            rows = self._reads.rows(_COUNT, (pk, between.low, between.high or _ABOVE_ALL))
        return int(rows[0][0])

    def items(self, after: Key | None = None) -> Iterator[Item]:
        """Yield every item, in the order of its key. They are read in pages of about a megabyte at most."""
        pk, sk = after or ("", "")
        while True:
            with translated():
                rows, is_cut = self._reads.page(_ITEMS, (pk, sk, _LARGEST_PAGE), _PAGE_BYTES)
            for pk, sk, fields, data in rows:
                yield Item(Key(pk, sk), orjson.loads(fields), data)
            if len(rows) < _LARGEST_PAGE and not is_cut:
                return

    def write(self, *changes: Change, before: Sequence[PlainChange] = (), after: Sequence[Delete] = ()) -> None:
        """Apply all changes in one transaction, which is on disk when this returns.

        Raises Conflict if an expectation fails. A kill -9 leaves all changes or none, also of `before` and `after`.
        """
        check_keys(changes)
        check_plain((*changes, *before, *after), before, after)
        check_total(len(change.item.data) for change in changes if isinstance(change, Put))
        self._run((*before, *changes, *after), durable=True)

    def write_each(self, changes: Iterable[PlainChange], *, durable: bool = True) -> None:
        """Apply all changes in one transaction. A kill -9 leaves all of them or none."""
        plain = tuple(changes)
        check_plain(plain, plain)
        self._run(plain, durable=durable)

    def _run(self, changes: Sequence[Change], *, durable: bool) -> None:
        puts = [_row(change.item) for change in changes if isinstance(change, Put)]
        check_items((Key(pk, sk), len(fields) + len(data)) for pk, sk, fields, data in puts)
        deletes = [change.key for change in changes if isinstance(change, Delete)]
        adds = [change for change in changes if isinstance(change, Add)]
        expected = [(change.key, change.expect) for change in changes if change.expect is not None]
        if not changes:
            return
        if durable:
            self._sync_first()
        with translated():
            self._commits.run(partial(_apply, expected, puts, deletes, adds), durable=durable)

    def add(self, key: Key, counter: str, by: int) -> int:
        """Add to the field and return its new value. No other caller in any process gets the same value."""
        with translated():
            return self._commits.run(partial(_add_one, key, counter, by), durable=False)


def _row(item: Item) -> _Row:
    return (*item.key, orjson.dumps(item.fields), item.data)


def _apply(
    expected: list[tuple[Key, Expectation]],
    puts: list[_Row],
    deletes: list[Key],
    adds: list[Add],
    connection: sqlite3.Connection,
) -> int:
    for key, expectation in expected:
        row = connection.execute(_GET, key).fetchone()
        if not _is_met(expectation, None if row is None else row[0]):
            raise Conflict(key)
    _put(puts, connection)
    connection.executemany(_DELETE, deletes)
    for change in adds:
        _add(change.key, change.by, connection)
    return len(puts) + len(deletes) + len(adds)


def _put(rows: Sequence[_Row], connection: sqlite3.Connection) -> None:
    for start in range(0, len(rows), _ROWS_TOGETHER):
        together = rows[start : start + _ROWS_TOGETHER]
        connection.execute(_put_statement(len(together)), tuple(chain.from_iterable(together)))


@cache
def _put_statement(rows: int) -> str:
    return _PUT.format(", ".join(["(?, ?, ?, ?)"] * rows))


def _is_met(expectation: Expectation, fields: bytes | None) -> bool:
    match expectation:
        case Absent():
            return fields is None
        case Present():
            return fields is not None
        case Holds(field, value):
            held: Any = None if fields is None else orjson.loads(fields).get(field)
            return type(held) is type(value) and held == value  # True is not 1, as in DynamoDB


def _add(key: Key, by: Mapping[str, int], connection: sqlite3.Connection) -> dict[str, Any]:
    """Add to the fields of an item. Return its fields after that."""
    row = connection.execute(_GET, key).fetchone()
    fields: dict[str, Any] = {} if row is None else orjson.loads(row[0])
    fields |= {counter: fields.get(counter, 0) + number for counter, number in by.items()}
    _put([(*key, orjson.dumps(fields), b"" if row is None else row[1])], connection)
    return fields


def _add_one(key: Key, counter: str, by: int, connection: sqlite3.Connection) -> int:
    value: int = _add(key, {counter: by}, connection)[counter]
    return value
