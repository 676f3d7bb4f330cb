"""What the queue in the table promises beyond the port."""

from __future__ import annotations

from pathlib import Path

from app.engines.embedded.sqlite import SqliteTable
from app.engines.table_queue import TableQueue


def test_a_message_may_be_extended_twice_in_one_millisecond(tmp_path: Path) -> None:
    table, now = SqliteTable(tmp_path / "index.db"), [1_700_000_000.0]
    queue = TableQueue(table, now=lambda: now[0])
    queue.send("work")
    message = queue.receive()
    assert message
    message = queue.extend(queue.extend(message, 120), 120)
    now[0] += 119
    assert queue.receive() is None
    now[0] += 2
    again = queue.receive()
    assert again
    queue.done(again)
    now[0] += 3600
    assert queue.receive() is None
    table.close()
