"""What a page of the change feed reads: batches, whatever the number of its entries and partitions."""

from __future__ import annotations

from pathlib import Path

from app.services.access.caller import ANONYMOUS
from tests.support.archive import Archive, file


def test_a_page_of_several_partitions_is_read_in_batches(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    for name in ("clinic-a", "clinic-b", "clinic-c"):
        archive.partition = archive.services.partitions.resolve(name, create=True)
        archive.store(*(file("2.25.1", "2.25.1.1", f"2.25.1.1.{number}") for number in range(1, 7)))
    archive.delete("2.25.1", "2.25.1.1", "2.25.1.1.6")
    archive.faults.calls.clear()
    page = list(archive.services.change_feed.by_sequence(ANONYMOUS, offset=0, limit=100, metadata=True))
    assert len(page) == 19
    assert [entry.state for entry in page if entry.metadata is None] == ["Deleted", "Deleted"]
    assert archive.faults.calls["table.get_many"] == 2, "the rows, and the documents"
    assert archive.faults.calls["table.get"] == 2, "the head, before and after new entries"
