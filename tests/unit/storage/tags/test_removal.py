"""The removal of a tag visits the partitions that have it, and only these."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from app.services.policy import V1
from app.services.tags import tasks
from app.storage.table import keys
from app.storage.table.ports import Put
from app.storage.tags.query_tags import QueryTagStore
from tests.support.archive import Archive
from tests.support.faults import FOR_EVER, Rule
from tests.unit.storage.tags.tagged_archive import (
    AGE,
    NAME,
    STORED,
    add_tags,
    found_uids,
    instance,
    store_instances,
    tag_entries,
    tag_notes,
)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An archive with entries of two tags in one partition, and with fifty partitions without any."""
    found = Archive(tmp_path)
    for number in range(50):
        found.services.partitions.resolve(f"empty-{number}", create=True)
    return found


def remove_tag(archive: Archive, path: str) -> set[int]:
    """Delete a tag and do the background work. Return the partitions whose index entries were read."""
    read: list[str] = []
    rule = Rule(lambda call: read.extend(call.keys), "table.query", "*/*#*", times=FOR_EVER)
    archive.services.query_tags.delete(path)
    archive.faults.add(rule)
    archive.work()
    archive.faults.clear()
    return {int(key.split("/")[0]) for key in read if key.split("/")[1] in ("value", "word")}


def test_only_partitions_with_the_tag_are_visited(archive: Archive) -> None:
    store_instances(archive)  # one partition is indexed by the backfill, and another one by a store
    add_tags(archive, AGE, NAME)
    archive.work()
    first = archive.partition.key
    archive.move("stored-later")
    assert archive.services.store(archive.partition, [BytesIO(instance(STORED[0], "001Y"))], None, V1).stored
    assert remove_tag(archive, "OperatorsName") == {first, archive.partition.key}
    assert {pk for pk, _ in tag_entries(archive) if "00101010" not in pk} == set()
    assert found_uids(archive, "study", PatientAge="001Y") == [STORED[0][0]]
    assert remove_tag(archive, "PatientAge") == {first, archive.partition.key}
    assert tag_entries(archive) == tag_notes(archive) == []


def test_a_removal_with_many_entries_takes_several_steps(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "DELETIONS", 3)
    monkeypatch.setattr(tasks, "_PARTITIONS", 1)
    store_instances(archive)
    add_tags(archive, AGE, NAME)
    archive.work()
    remove_tag(archive, "OperatorsName")
    remove_tag(archive, "PatientAge")
    assert tag_entries(archive) == tag_notes(archive) == []


def test_the_removal_of_a_tag_of_an_earlier_release_visits_all_partitions(archive: Archive) -> None:
    store_instances(archive)
    add_tags(archive, NAME)
    archive.work()
    item = archive.table.get(keys.QUERY_TAGS)
    assert item is not None
    archive.table.write(Put(item._replace(data=item.data.replace(b",true]", b"]"))))
    assert not QueryTagStore(archive.table).read().tags[0].noted
    assert len(remove_tag(archive, "OperatorsName")) == 52
    assert tag_entries(archive) == tag_notes(archive) == []
