"""The start of an operation is one write: with its claim to be the only one of its type, and with other changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.engines.embedded.sqlite import SqliteTable
from app.errors import Conflict, OperationActive
from app.storage.operations.operations import Operations
from app.storage.table.ports import Absent, Item, Key, Put


@pytest.fixture
def table(tmp_path: Path) -> Iterator[SqliteTable]:
    table = SqliteTable(tmp_path / "index.db")
    yield table
    table.close()


def test_one_exclusive_operation_of_a_type_at_a_time(table: SqliteTable) -> None:
    operations = Operations(table)
    first = operations.start("reindex", {}, exclusive=True).id
    with pytest.raises(OperationActive) as refused:
        operations.start("reindex", {}, exclusive=True, named="f" * 32)
    assert (refused.value.id, refused.value.type) == (first, "reindex")
    assert operations.get("f" * 32) is None
    assert operations.start("update", {}, exclusive=True).id
    assert operations.start("reindex", {}).id


def test_other_changes_are_written_with_the_operation_or_not_at_all(table: SqliteTable) -> None:
    operations = Operations(table)
    table.write(Put(_item("taken")))
    with pytest.raises(Conflict):
        operations.start(
            "reindex", {}, exclusive=True, alongside=lambda _: [Put(_item("new")), Put(_item("taken"), Absent())]
        )
    assert table.get(Key("test", "new")) is None
    operations.refuse_if_active("reindex")
    operations.start("reindex", {}, alongside=lambda operation: [Put(_item(operation.id))])
    assert table.count("test") == 2


def _item(name: str) -> Item:
    return Item(Key("test", name), {})
