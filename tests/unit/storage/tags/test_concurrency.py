"""Extended query tags are added and deleted while other processes store, delete and re-index.

One process stops before each of its calls to the table in turn, and another process acts at that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from app.services.access.caller import ANONYMOUS
from tests.support.archive import Archive, Uids
from tests.support.faults import Rule, run
from tests.support.selection import quick
from tests.unit.storage.tags.tagged_archive import (
    AGE,
    ANOTHER,
    INVALID,
    NAME,
    NEW_STUDY,
    STORED,
    add_all_tags,
    add_tags,
    check_ages,
    copies,
    found_uids,
    instance,
    tag_entries,
)

Act = Callable[[Archive], object]


def at_each_call(folder: Path, act: Act, meanwhile: Act, prepare: Act | None = None) -> Iterator[Archive]:
    """Run `act` once for each of its calls. Another process runs `meanwhile` before that call. Yield the archive."""
    for call, copy in enumerate(copies(folder), start=1):
        archive, other_process = Archive(copy), Archive(copy)
        if prepare:
            prepare(archive)
        rule = archive.faults.add(Rule(run(partial(meanwhile, other_process)), nth=call))
        act(archive)
        if not rule.hits:
            return
        yield Archive(copy)


# --- stores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uids", [ANOTHER, NEW_STUDY], ids=["existing study", "new study"])
@pytest.mark.parametrize("indexed", [True, False], ids=["re-indexed meanwhile", "re-indexed after"])
def test_tag_added_during_a_store_finds_the_instance(folder: Path, uids: Uids, indexed: bool) -> None:
    def store(archive: Archive) -> None:
        assert archive.store(instance(uids, "099Y")) == [0]

    def add(archive: Archive) -> None:
        add_all_tags(archive)
        if indexed:
            archive.work()

    for call, archive in enumerate(at_each_call(folder, store, add), start=1):
        archive.work()
        archive.services.query_tags.patch(ANONYMOUS, "OperatorsName", "enabled")
        assert found_uids(archive, "study", PatientAge="099Y") == [uids[0]], call
        assert found_uids(archive, "series", **{"12051003": "099Y"}) == [uids[1]], call
        assert uids[2] in found_uids(archive, "instance", OperatorsName="Doe^Jane"), call
        check_ages(archive)
    assert call >= 7


def test_tag_deleted_during_a_store_leaves_no_entries(folder: Path) -> None:
    def store(archive: Archive) -> None:
        assert archive.store(instance(ANOTHER, "099Y"), instance(NEW_STUDY, "098Y")) == [0, 0]

    def delete(archive: Archive) -> None:
        archive.services.query_tags.delete("PatientAge")
        archive.services.query_tags.delete("OperatorsName")
        archive.work()

    archive = Archive(folder)
    add_tags(archive, AGE, NAME)
    archive.work()
    for call, after in enumerate(at_each_call(folder, store, delete), start=1):
        after.work()  # the sweep removes the entries that an attempt of the store has left
        assert not tag_entries(after), call
        add_tags(after, AGE)
        after.work()
        check_ages(after)
    assert call >= 9


def test_tag_deleted_and_added_again_during_a_store(folder: Path) -> None:
    def store(archive: Archive) -> None:
        assert archive.store(instance(ANOTHER, "099Y")) == [0]

    def delete_and_add(archive: Archive) -> None:
        archive.services.query_tags.delete("PatientAge")
        add_tags(archive, AGE | {"level": "Series"})
        archive.work()

    archive = Archive(folder)
    add_tags(archive, AGE)
    archive.work()
    for after in at_each_call(folder, store, delete_and_add):
        after.work()
        assert found_uids(after, "series", PatientAge="099Y") == [ANOTHER[1]]
        assert not [key for key in tag_entries(after) if "/study/0010" in key[0]]


def test_stores_during_a_re_index(folder: Path) -> None:
    def store(archive: Archive) -> None:
        assert archive.store(instance(ANOTHER, "099Y"), instance(NEW_STUDY, "098Y")) == [0, 0]

    for archive in at_each_call(folder, Archive.work, store, add_all_tags):
        check_ages(archive)
        assert found_uids(archive, "study", PatientAge="099Y") == ["2.25.1"]
        assert found_uids(archive, "study", PatientAge="098Y") == ["2.25.3"]


# --- deletions and changes of tags ------------------------------------------------------------------------------------


@pytest.mark.parametrize("deleted", quick([STORED[1]], [STORED[1], STORED[1][:1], STORED[7], STORED[4][:2]]), ids=str)
def test_deletions_during_a_re_index(folder: Path, deleted: tuple[str, ...]) -> None:
    """Errors are deleted with their instances, and no row or index entry comes back."""

    def delete(archive: Archive) -> None:
        archive.delete(*deleted)

    left = [uids for uids in STORED if uids[: len(deleted)] != deleted]
    invalid = sum(uids in left for uids in INVALID)
    for archive in at_each_call(folder, Archive.work, delete, add_all_tags):
        assert set(found_uids(archive, "instance")) == {uids[2] for uids in left}
        assert archive.services.query_tags.find(ANONYMOUS, "OperatorsName").errors == invalid
        assert len(list(archive.services.query_tags.errors(ANONYMOUS, "OperatorsName", offset=0, limit=100))) == invalid
        values = [pk for pk, _ in tag_entries(archive) if "/value/" in pk]
        assert len([pk for pk in values if "/study/" in pk]) == len({uids[0] for uids in left})
        assert len([pk for pk in values if "/instance/" in pk]) == len(left) - invalid


def test_tag_deleted_during_its_re_index(folder: Path) -> None:
    def delete(archive: Archive) -> None:
        archive.services.query_tags.delete("OperatorsName")

    def delete_and_work(archive: Archive) -> None:
        delete(archive)
        archive.work()

    for meanwhile in (delete, delete_and_work):
        for archive in at_each_call(folder, Archive.work, meanwhile, add_all_tags):
            archive.work()
            assert not [key for key in tag_entries(archive) if "00081070#" in key[0]]
            statuses = {
                each.tag.path: each.tag.status
                for each in archive.services.query_tags.page(ANONYMOUS, offset=0, limit=10)
            }
            assert statuses == {"00101010": "ready", "12051003": "ready"}
            check_ages(archive)


def test_tag_disabled_during_its_re_index(folder: Path) -> None:
    def disable(archive: Archive) -> None:
        archive.services.query_tags.patch(ANONYMOUS, "PatientAge", "disabled")

    for archive in at_each_call(folder, Archive.work, disable, add_all_tags):
        tag = archive.services.query_tags.find(ANONYMOUS, "PatientAge").tag
        assert (tag.status, tag.query_status) == ("ready", "disabled")
