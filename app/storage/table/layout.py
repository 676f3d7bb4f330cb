"""The layout version: which form of stored items an archive has, and how an older archive comes to the current form.

The table holds the version in one item (`keys.LAYOUT`). Release 0.1.0 wrote no version; its form is layout 1. A release
opens an archive as follows:

* an empty table gets the current version;
* an archive of an older layout is migrated step by step, and each step ends with the new version in the table;
* an archive of a newer layout is refused, because this release could damage what it does not understand.

Two processes that open an archive at the same time both run the steps, so every step must be safe to repeat and to run
beside itself. The version only grows. A kill -9 at any point leaves the version of the last complete step, and the next
start continues from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from app.errors import ConfigurationError
from app.storage.table import keys
from app.storage.table.codec import Record, decode, encode
from app.storage.table.ports import Absent, Holds, Item, Put, Table
from app.storage.table.retry import retry

CURRENT: Final = 5
"""The layout that this release writes.

1: release 0.1.0.
2: sweep records may name postings, and fields with default values are not stored. Release 0.1.0 can read neither.
   Items of layout 1 stay readable, so no migration rewrites them.
3: series count their instances, and some values that only metadata has have postings. A release that does not know
   this would not keep the counts and postings complete. Rows of layout 2 stay as they are. The migration records which
   ones they are (`search/unposted.py`).
4: dates have postings for their year and month. Rows of layout 3 stay as they are. The migration records which ones
   they are.
5: commits write records into a log, from which they are moved into the change feed. A release that does not know the
   log would not show them. Entries of layout 4 stay as they are. The migration closes the gaps between them
   (`feed/old_entries.py`).
"""

FIRST: Final = 1
"""The layout of an archive without a version."""

Migration = Callable[[Table], None]
"""Brings a table from one layout to the next. It must be safe to repeat and to run beside itself."""


class Layout(Record, frozen=True, kw_only=True):
    """The item that holds the version."""

    version: int


class NewerLayout(ConfigurationError):
    """The archive was written by a newer release. The message names both layouts and says what to run."""

    def __init__(self, found: int, supported: int) -> None:
        super().__init__(
            f"The stored data has layout {found}, and this release of Bulkhead supports layouts up to {supported}. "
            f"Run the release that wrote the data, or a newer one. `bulkhead --version` names the installed release."
        )


class UnfinishedMigration(ConfigurationError):
    """The archive is the target of a migration that has not ended (`services/recovery/migration.py`)."""

    def __init__(self, source: str) -> None:
        super().__init__(
            f"The migration of {source} into this archive has not ended. Give `bulkhead migrate` with --final there."
        )


class ArchiveMoved(ConfigurationError):
    """The archive was moved to another place. A process that stored here would make two archives of one."""

    def __init__(self, target: str) -> None:
        super().__init__(
            f"This archive was moved to {target}. Use the settings of that place. `bulkhead migrate --reopen` opens "
            "this one again, if nothing was stored there."
        )


def check(found: int, supported: int = CURRENT) -> None:
    """Raise `NewerLayout` if this release does not support a layout."""
    if found > supported:
        raise NewerLayout(found, supported)


def open_table(table: Table, migrations: Mapping[int, Migration], current: int = CURRENT) -> None:
    """Bring a table to the current layout. `migrations` maps a layout to the step that leads to the next one.

    A layout without a migration differs from the next one only in what an older release cannot read.
    Raises `NewerLayout` if the table is of a newer layout, `UnfinishedMigration` if a migration has not completed it,
    `ArchiveMoved` if a migration has moved it. Then nothing is written.
    """
    retry(lambda: _open(table, migrations, current))


def _open(table: Table, migrations: Mapping[int, Migration], current: int) -> None:
    item, migration = table.get_many([keys.LAYOUT, keys.MIGRATION])
    if migration is not None:
        moved_to = migration.fields.get("moved_to")
        raise ArchiveMoved(moved_to) if moved_to else UnfinishedMigration(migration.fields["source"])
    if item is None:
        # The default partition is the first item of every archive, so without a partition the table is empty.
        is_empty = not any(True for _ in table.query(keys.PARTITIONS, limit=1))
        found = current if is_empty else FIRST
        _write(table, found, None)
    else:
        found = decode(Layout, item.fields).version
    check(found, current)
    for version in range(found, current):
        if version in migrations:
            migrations[version](table)
        _write(table, version + 1, version)


def _write(table: Table, version: int, expected: int | None) -> None:
    """Write the version. Raises `Conflict` if another process wrote one meanwhile: then it is read again."""
    expect = Absent() if expected is None else Holds("version", expected)
    table.write(Put(Item(keys.LAYOUT, encode(Layout(version=version))), expect))
