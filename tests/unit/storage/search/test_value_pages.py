"""Pages of values: every study is in a page with its present values, or it has a mark, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from app.dicom.query.matching import Wildcard
from app.errors import Conflict
from app.services.bounded_cache import BoundedCache
from app.storage.records.page_marks import COLUMNS, mark_of_change
from app.storage.records.rows import StudyRow
from app.storage.search import due_marks, page_builder, page_candidates, value_pages
from app.storage.search.page_builder import PageBuilder
from app.storage.search.page_candidates import ValuePages
from app.storage.search.value_pages import PageList, PageRow, items_of, matching_lines, rows_of
from app.storage.table import keys
from app.storage.table.ports import Delete, Key, Put
from tests.capacity import synthetic
from tests.capacity.synthetic import fill, synthetic_study
from tests.support.archive import Archive
from tests.support.faults import FOR_EVER, Call, Effect, Killed, Rule, kill_at
from tests.support.instances import make_instance
from tests.support.updates import start_update
from tests.support.value_pages import page_faults, page_marks, page_rows

STUDIES = 30

READ_COLUMN = "*/pages/00100010|*"
"""The pattern of the keys of the names in pages."""


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_builder, "PAGE_STUDIES", 4)
    monkeypatch.setattr(page_builder, "_MARKS", 7)
    monkeypatch.setattr(due_marks, "ENOUGH_MARKS", 1)
    monkeypatch.setattr(page_candidates, "_LARGEST_GROUP", 2)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    yield Archive(tmp_path)


def builder(archive: Archive) -> PageBuilder:
    """Return a builder that looks for due marks with each step."""
    seconds = count(0, 100)
    return PageBuilder(archive.table, archive.services.partitions._partitions, monotonic=lambda: next(seconds))


def build(archive: Archive) -> None:
    """Build pages until there is nothing to do."""
    pages = builder(archive)
    for _ in range(200):
        if not pages.build_pages():
            return
    raise AssertionError("the building of pages does not end")


def store(archive: Archive, study: int, name: str, series: int = 1, **attributes: Any) -> None:
    uid = f"2.25.{study}"
    body = make_instance(
        study=uid, series=f"{uid}.{series}", instance=f"{uid}.{series}.1", patient_name=name, pixel=False, **attributes
    )
    assert archive.store(body) == [0]


def found(archive: Archive, pattern: str, keyword: str = "PatientName", level: str = "study") -> list[str]:
    """Return the Study Instance UIDs of the matches, newest first."""
    return [row["0020000D"]["Value"][0] for row in archive.search(level, **{keyword: pattern})]


def meanwhile(act: Callable[[], object]) -> Effect:
    """Return the effect of another process that acts during a call."""
    acting: list[bool] = []

    def effect(call: Call) -> None:
        if not acting:
            acting.append(True)
            act()
            acting.clear()

    return effect


def paged(archive: Archive) -> list[PageRow]:
    """Return the rows of all pages that the list names. Asserts that pages and marks have every study."""
    partition = archive.partition.key
    studies = [
        StudyRow.of(item, partition, item.key.pk.split("/")[2])
        for item in archive.table.items()
        if item.key.pk.startswith(f"{partition}/study/") and item.key.sk == keys.STUDY
    ]
    assert list(page_faults(archive.table, partition, studies)) == []
    return page_rows(archive.table, partition)


def marks(archive: Archive) -> list[Key]:
    return [mark.item.key for mark in page_marks(archive.table, archive.partition.key)]


def page_items(archive: Archive) -> list[Key]:
    return [item.key for item in archive.table.items() if item.key.pk.startswith(f"{archive.partition.key}/pages/")]


# --- searches ---


def test_a_contained_text_finds_studies_in_pages_and_marked_ones_newest_first(archive: Archive) -> None:
    for study, name in enumerate(["Doe^Jane", "Smith^Ann", "Jansson^Per", "Doe^John", "Dö^Jané", "Roe^Joan"], 1):
        store(archive, study, name)
    build(archive)
    store(archive, 7, "Mark^Jan")
    assert len(paged(archive)) == 6
    assert len(marks(archive)) == 1
    expected = {"*jan*": "7 5 3 1", "*^jan*": "7 5 1", "*o*n": "6 4", "d*j*": "5 4 1", "?oe*": "6 4 1", "*zzq*": ""}
    for pattern, studies in expected.items():
        assert found(archive, pattern) == [f"2.25.{each}" for each in studies.split()], pattern
        assert found(archive, pattern, level="instance") == [f"2.25.{each}" for each in studies.split()], pattern


def test_a_rare_text_is_searched_without_reading_postings(archive: Archive) -> None:
    fill(archive.table, archive.partition.key, STUDIES, documents=False)
    build(archive)
    read: list[str] = []
    archive.faults.add(Rule(lambda call: read.extend(call.keys), times=FOR_EVER))
    archive.faults.forget_reads()
    assert found(archive, "*zzq*") == []
    assert not [key for key in read if "/value/" in key or "/newest/" in key]
    assert archive.faults.items_read == 10  # the list, twice, and 8 pages


def test_a_search_of_any_column_and_level_equals_that_without_pages(archive: Archive) -> None:
    fill(archive.table, archive.partition.key, STUDIES)
    asked = [
        (level, keyword, pattern)
        for level in ("study", "series", "instance")
        for keyword, patterns in {
            "PatientName": ["*ba*", "s*a*", "*^a??a*", "*"],
            "PatientID": ["*1", "p*0*"],
            "StudyDescription": ["*CHEST*", "?t*"],
            "AccessionNumber": ["*2?"],
            "StudyID": ["*1*"],
            "ReferringPhysicianName": ["*an*"],
            "ModalitiesInStudy": ["*R", "C*T"],
        }.items()
        for pattern in patterns
    ]
    before = [found(archive, pattern, keyword, level) for level, keyword, pattern in asked]
    assert sum(map(bool, before)) > len(before) // 2
    build(archive)
    assert len(paged(archive)) == STUDIES
    assert [found(archive, pattern, keyword, level) for level, keyword, pattern in asked] == before


def test_a_value_that_the_index_cuts_off_is_found_by_its_end(archive: Archive) -> None:
    store(archive, 1, "Ä" * 60 + "=" + "Ö" * 60 + "=" + "U" * 60 + "end", patient_id="P1")
    store(archive, 2, "Doe^Jane")
    build(archive)
    assert not marks(archive)
    assert found(archive, "=*=*uend") == found(archive, "==*uend") == ["2.25.1"]


def test_pages_that_are_replaced_during_a_search_are_read_again(archive: Archive) -> None:
    for study in range(1, 13):
        store(archive, study, f"Doe^J{study}")
    build(archive)
    changed = iter(range(1, 12))

    def replace_pages(study: int | None) -> None:
        if study:
            store(archive, study, f"Doe^K{study}", series=2)
            build(archive)

    rule = Rule(meanwhile(lambda: replace_pages(next(changed, None))), "table.get_many", READ_COLUMN, times=3)
    archive.faults.add(rule)
    assert found(archive, "*oe^*") == found(archive, "doe*")
    assert rule.hits == 3
    assert len(found(archive, "*oe^*")) == 12


def test_a_mark_that_is_processed_during_a_search_stays_a_candidate(archive: Archive) -> None:
    for study in range(1, 13):
        store(archive, study, f"Doe^J{study}")
    build(archive)
    store(archive, 9, "Rare^Name", series=2)

    def replace_read_and_unread_pages() -> None:
        build(archive)
        store(archive, 1, "Doe^Changed", series=2)
        build(archive)

    rule = Rule(meanwhile(replace_read_and_unread_pages), "table.get_many", READ_COLUMN, nth=2)
    archive.faults.add(rule)
    assert found(archive, "*are*") == ["2.25.9"]
    assert rule.hits


def test_a_search_that_never_sees_a_page_takes_every_study_as_a_candidate(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_candidates, "_MAX_REPEATS", 2)
    for study in range(1, 6):
        store(archive, study, f"Doe^J{study}")
    build(archive)
    for page in PageList.read(archive.table, archive.partition.key).pages:
        archive.table.write(Delete(keys.page_column(archive.partition.key, "00100010", page.name)))
    assert found(archive, "*j3") == ["2.25.3"]
    assert found(archive, "*j3", level="instance") == ["2.25.3"]


def test_columns_of_pages_are_read_once_where_a_process_keeps_them(archive: Archive) -> None:
    for study in range(1, 10):
        store(archive, study, f"Doe^J{study}")
    build(archive)
    planner = archive.services.search._planner
    planner._sources._pages = ValuePages(archive.table, BoundedCache(1_000_000, "value_pages"))
    read = archive.faults.add(Rule(lambda _: None, "table.get_many", READ_COLUMN, times=FOR_EVER))
    for hits in (2, 2):  # the nine studies are in three pages: the newest alone, and then two
        assert found(archive, "*j?") == [f"2.25.{study}" for study in range(9, 0, -1)]
        assert read.hits == hits
    store(archive, 1, "Doe^K1", series=2)
    build(archive)
    assert found(archive, "*k?") == ["2.25.1"]
    assert read.hits == 4  # the worker read the page that it replaced, and the search read the new one


# --- the builder ---


def test_an_archive_without_marks_is_walked_through(archive: Archive) -> None:
    fill(archive.table, archive.partition.key, STUDIES)
    pages = builder(archive)
    steps = 0
    name = synthetic_study(17, STUDIES).values["PatientName"]
    before = found(archive, f"*{name[1:]}")
    assert before
    while pages.build_pages():
        steps += 1
        assert found(archive, f"*{name[1:]}") == before
        pages = builder(archive)  # a worker that is killed after each step
    assert steps >= 5
    assert len(paged(archive)) == STUDIES
    assert PageList.read(archive.table, archive.partition.key).complete


def test_a_changed_name_replaces_the_former_one_in_its_page(archive: Archive) -> None:
    for study in range(1, 10):
        store(archive, study, "Doe^Jane")
    build(archive)
    store(archive, 2, "Roe^Joan", series=2)
    assert (found(archive, "*oan*"), len(found(archive, "*ane"))) == (["2.25.2"], 8)
    build(archive)
    assert not marks(archive)
    assert (found(archive, "*oan*"), len(found(archive, "*ane"))) == (["2.25.2"], 8)
    lines = [line for row in paged(archive) for line in row.lines]
    assert (lines.count("roe^joan"), lines.count("doe^jane")) == (1, 8)


def test_a_bulk_update_replaces_values_in_pages(archive: Archive) -> None:
    store(archive, 1, "Doe^Jane", patient_id="OLD")
    build(archive)
    start_update(archive, "NEW", "2.25.1")
    for step in archive.services.background:
        while step.__name__ != "build_pages" and step():
            pass
    assert (found(archive, "*ew", "PatientID"), found(archive, "*ld", "PatientID")) == (["2.25.1"], [])
    build(archive)
    assert not marks(archive)
    assert (found(archive, "*ew", "PatientID"), found(archive, "*ld", "PatientID")) == (["2.25.1"], [])
    assert [line for row in paged(archive) for line in row.lines if line in ("old", "new")] == ["new"]


def test_a_deleted_study_leaves_the_pages_with_the_step_that_is_due(archive: Archive) -> None:
    for study in range(1, 10):
        store(archive, study, f"Doe^J{study}")
    build(archive)
    for study in range(1, 10):
        archive.delete(f"2.25.{study}")
        assert builder(archive).build_pages()
        assert f"2.25.{study}" not in [row.study for row in paged(archive)]
    assert not page_items(archive)
    store(archive, 1, "Doe^Jane")
    build(archive)
    assert found(archive, "*jane") == ["2.25.1"]
    assert len(paged(archive)) == 1


def test_a_study_that_is_stored_late_under_a_low_number_is_found(archive: Archive) -> None:
    fill(archive.table, archive.partition.key, STUDIES, instances=3, documents=False)
    build(archive)
    late = synthetic_study(STUDIES, STUDIES)
    partition = archive.partition.key
    number = 5  # between those of the second and the third study
    items = list(synthetic.items_of(late, partition, number, documents=False))
    row = StudyRow.of(items[0], partition, late.uid)
    archive.table.write(*map(Put, items), *mark_of_change(None, row, ()))
    pattern = f"*{late.values['PatientName'][1:]}"
    assert late.uid in found(archive, pattern)
    build(archive)
    assert not marks(archive)
    assert late.uid in found(archive, pattern)


def test_a_worker_that_read_older_rows_writes_nothing(archive: Archive) -> None:
    store(archive, 1, "Doe^Jane")
    build(archive)
    store(archive, 1, "Roe^Joan", series=2)
    slow = builder(archive)

    def overtake() -> None:
        store(archive, 1, "Doe^Jane", series=3)
        build(archive)

    rule = archive.faults.add(Rule(meanwhile(overtake), "table.write", "*/pages|list"))
    assert slow.build_pages()
    assert rule.hits
    assert found(archive, "*jane") == ["2.25.1"]
    assert not marks(archive)


def test_a_study_that_changes_while_its_mark_is_processed_keeps_a_mark(archive: Archive) -> None:
    store(archive, 1, "Doe^Jane")
    build(archive)
    store(archive, 1, "Roe^Joan", series=2)
    change_again = meanwhile(lambda: store(archive, 1, "Poe^Edgar", series=3))
    rule = archive.faults.add(Rule(change_again, "table.write", "unpaged/changed/*"))
    builder(archive).build_pages()
    assert rule.hits
    assert len(marks(archive)) == 1
    assert found(archive, "*edgar") == ["2.25.1"]


def test_a_worker_that_is_killed_at_any_change_leaves_every_study_in_a_page_or_marked(archive: Archive) -> None:
    fill(archive.table, archive.partition.key, STUDIES)
    build(archive)
    step = 0
    for step in range(1, 100):
        uid = f"2.25.{100 + step}"
        store(archive, 100 + step, f"Killed^N{step}")
        store(archive, 100 + step, f"Changed^N{step}", series=2)
        if step <= STUDIES:
            archive.delete(synthetic_study(step - 1, STUDIES).uid)
        rule = archive.faults.add(kill_at(step))
        with suppress(Killed):
            build(archive)
        archive.faults.clear()
        paged(archive)
        assert found(archive, f"*ed^n{step}") == [uid]
        if not rule.hits:
            break
        build(archive)
        assert (marks(archive), found(archive, f"*ed^n{step}")) == ([], [uid])
    assert step > 10


def test_a_lost_page_starts_the_list_anew(archive: Archive) -> None:
    for study in range(1, 10):
        store(archive, study, f"Doe^J{study}")
    build(archive)
    lost = PageList.read(archive.table, archive.partition.key).pages[1].name
    archive.table.write(Delete(keys.page_column(archive.partition.key, "00100010", lost)))
    assert len(found(archive, "*oe*")) == 9
    archive.delete("2.25.6")
    build(archive)
    assert len(paged(archive)) == len(found(archive, "*oe*")) == 8
    assert len(page_items(archive)) == len(value_pages.COLUMN_NAMES) * 2


def test_two_workers_do_not_replace_each_others_pages(archive: Archive) -> None:
    store(archive, 1, "Doe^Jane")
    listed = PageList.read(archive.table, archive.partition.key)
    build(archive)
    with pytest.raises(Conflict):
        archive.table.write(value_pages.PageList(partition=archive.partition.key, revision=1).put())
    assert listed.revision == 0


def test_marks_wait_until_they_are_many_or_old(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_marks, "ENOUGH_MARKS", 3)
    build(archive)
    for study in (1, 2):
        store(archive, study, "Doe^Jane")
    build(archive)
    assert len(marks(archive)) == 2
    monkeypatch.setattr(due_marks, "NEW_SECONDS", -1)
    build(archive)
    assert not marks(archive)
    archive.delete("2.25.1")
    build(archive)
    assert len(marks(archive)) == 1
    monkeypatch.setattr(due_marks, "CHANGED_SECONDS", -1)
    build(archive)
    assert not marks(archive)
    monkeypatch.setattr(due_marks, "NEW_SECONDS", 600)
    for partition in ("a", "b", "c"):
        archive.move(partition)
        for study in range(1, 4 if partition == "b" else 3):
            store(archive, study, "Doe^Jane")
    build(archive)
    assert not paged(archive)
    archive.move("b")
    assert len(paged(archive)) == 3


# --- the form of a page ---


def test_rows_of_a_page_survive_their_packed_form() -> None:
    columns = len(COLUMNS)
    rows = [PageRow(7, "2.25.1", ("",) * columns), PageRow(9, "2.25.2", ("dö^jane\tdö", *("x",) * (columns - 1)))]
    assert rows_of(items_of(1, "page", rows)) == rows


@pytest.mark.parametrize(
    ("pattern", "positions"),
    [("*an*", [0, 2, 4]), ("an*", [2]), ("*?n", [2, 4]), ("??", [2, 3, 4]), ("*", [0, 1, 2, 3, 4]), ("*x*", [4])],
)
def test_lines_that_match(pattern: str, positions: list[int]) -> None:
    text = "\n".join(["jane", "", "ann\tan", "ö1", "jan\tx\x01\txy"]).encode()
    assert matching_lines(text, Wildcard(pattern)) == sorted({*positions, 4})  # the last line is not known as a whole
