"""kill -9 after each write of a re-index and of a removal. Another worker continues when the lease has expired."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.archive import Archive
from tests.support.clock import AdvanceClock
from tests.support.faults import AFTER, Killed, Rule, kill
from tests.unit.storage.tags.tagged_archive import add_all_tags, copies, table_items, tag_entries


def kill_after_each_write(
    folder: Path, prepare: Callable[[Archive], object], advance_clock: AdvanceClock
) -> Iterator[Archive]:
    """Kill a worker after each of its writes. Yield the archive when another worker has finished."""
    for write, copy in enumerate(copies(folder), start=1):
        archive = Archive(copy)
        prepare(archive)
        rule = archive.faults.add(Rule(kill(), operation="table.write", stage=AFTER, nth=write))
        with suppress(Killed):
            archive.work()
        if not rule.hits:
            return
        advance_clock(3600)
        successor = Archive(copy)
        successor.work()
        yield successor


def test_re_index_continues_after_a_kill_at_any_write(folder: Path, advance_clock: AdvanceClock) -> None:
    undisturbed_copy = copies(folder)
    undisturbed = Archive(next(undisturbed_copy))
    add_all_tags(undisturbed)
    undisturbed.work()
    expected = without_times(table_items(undisturbed))
    undisturbed_copy.close()
    write = 0
    for write, archive in enumerate(kill_after_each_write(folder, add_all_tags, advance_clock), start=1):
        assert without_times(table_items(archive)) == expected, write
        assert not list(archive.table.query("operations/open"))
        assert not list(archive.table.query("operations/active"))
    assert write >= 12


def test_removal_continues_after_a_kill_at_any_write(folder: Path, advance_clock: AdvanceClock) -> None:
    archive = Archive(folder)
    add_all_tags(archive)
    archive.work()

    def delete(archive: Archive) -> None:
        for path in ("PatientAge", "OperatorsName", "12051003"):
            archive.services.query_tags.delete(path)

    write = 0
    for write, after in enumerate(kill_after_each_write(folder, delete, advance_clock), start=1):
        assert not tag_entries(after), write
        assert not list(after.table.query("operations/open"))
    assert write >= 10


def without_times(items: dict[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
    """Return the items without the times of errors, and without the number up to which the feed is closed."""
    kept: dict[tuple[str, str], Any] = {}
    for (pk, sk), value in items.items():
        if pk.endswith("/errors"):
            fields, data = value
            kept[pk, sk.rpartition("/")[2]] = {**fields, "created": ""}, data
        elif "/study/" in pk and "errors" in value[0]:
            kept[pk, sk] = {**value[0], "errors": list(value[0]["errors"])}, value[1]
        elif not pk.startswith("feed"):
            kept[pk, sk] = value
    return kept
