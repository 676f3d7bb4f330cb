"""Searches inside one study, small and large: the same matches, and few rows in memory (conformance §5.6)."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.dicom.query.matching import Query
from app.dicom.validation.attributes import Level
from app.storage.index.counts import InstanceCounts
from app.storage.index.instances import Instances
from app.storage.search import members
from app.storage.search.planner import SearchPlanner
from tests.capacity.synthetic import fill, synthetic_study
from tests.support.archive import Archive
from tests.support.faulty_engine import FaultyTable
from tests.support.instances import make_instance
from tests.support.schedule import Schedule
from tests.support.updates import image, update
from tests.unit.storage.updates.studies import A2, STUDY, A, B
from tests.unit.storage.updates.test_concurrency import CountedChoice, query_one_by_one, switch_after

SIZES: dict[str, dict[str, int]] = {
    "few rows": {},
    "documents": {"_FEW": 0},
    "documents, then rows": {"_FEW": 2, "_DOCUMENTS": 3, "_DOCUMENTS_PER_MATCH": 0, "_CHUNK": 2},
    "rows": {"_FEW": 0, "_DOCUMENTS": 0, "_DOCUMENTS_PER_MATCH": 0, "_CHUNK": 3},
}
"""The plans for a study, and the limits by which it takes each of them."""

Choose = Callable[[str], None]


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Choose:
    """Return a function that makes every search take this plan."""

    def choose(plan: str) -> None:
        for name, limit in SIZES[plan].items():
            monkeypatch.setattr(members, name, limit)

    return choose


def uid(series: int, number: int) -> str:
    return f"2.25.1.{series}.{number}"


def store(archive: Archive, series: int, number: int) -> None:
    uids = {"study": "2.25.1", "series": f"2.25.1.{series}", "instance": uid(series, number)}
    assert archive.store(make_instance(pixel=False, InstanceNumber=str(number % 3), **uids)) == [0]


def found(archive: Archive, **parameters: str) -> list[str]:
    given = {"StudyInstanceUID": "2.25.1", **parameters}
    return [row["00080018"]["Value"][0] for row in archive.search("instance", **given)]


@pytest.mark.parametrize("plan", SIZES)
def test_each_plan_finds_the_same_instances(choose: Choose, plan: str, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    expected: list[str] = []
    for number in (7, 3, 9, 1, 5, 4, 8, 2, 6):
        store(archive, number % 2, number)
        expected.insert(0, uid(number % 2, number))
    archive.delete("2.25.1", "2.25.1.1", uid(1, 9))
    archive.work()
    expected.remove(uid(1, 9))
    choose(plan)
    assert found(archive) == expected
    assert found(archive, limit="3", offset="2") == expected[2:5]
    assert found(archive, limit="3", offset="7") == expected[7:]
    odd = [each for each in expected if each.startswith("2.25.1.1.")]
    assert found(archive, SeriesInstanceUID="2.25.1.1") == odd
    assert found(archive, SeriesInstanceUID="2.25.1.1,2.25.1.7", limit="2") == odd[:2]
    assert found(archive, SeriesInstanceUID="2.25.1.1,2.25.1.0") == expected
    assert found(archive, SeriesInstanceUID="2.25.1.7") == []
    assert found(archive, InstanceNumber="1") == [each for each in expected if int(each.rpartition(".")[2]) % 3 == 1]
    assert found(archive, StudyInstanceUID="2.25.1,2.25.2", limit="4") == expected[:4]
    assert found(archive, StudyInstanceUID="2.25.2") == []
    archive.delete("2.25.1", "2.25.1.1")
    assert found(archive) == [each for each in expected if each not in odd]
    archive.delete("2.25.1")
    assert found(archive) == []


@pytest.mark.parametrize("plan", SIZES)
def test_pages_by_cursor(choose: Choose, plan: str, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    expected: list[str] = []
    for number in (5, 3, 1, 4, 2):
        store(archive, 1, number)
        expected.insert(0, uid(1, number))
    choose(plan)
    planner = planner_of(archive)
    below, seen = None, []
    while True:
        page = planner.run(archive.partition.key, Query(level=Level.INSTANCE, study="2.25.1", limit=2, below=below))
        seen += [each.instance.instance for each in page.matches if each.instance]
        if not page.more:
            break
        below = page.matches[-1].sequence
    assert seen == expected


@pytest.mark.parametrize("plan", SIZES)
def test_an_updated_instance_keeps_its_place(choose: Choose, plan: str, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    assert archive.store(image(A), image(A2), image(B)) == [0] * 3
    for patient in ("NEW", "NEWER"):
        update(archive, patient, STUDY)
        archive.work()
    choose(plan)
    assert found(archive, StudyInstanceUID=STUDY) == [B[2], A2[2], A[2]]
    assert found(archive, StudyInstanceUID=STUDY, limit="1", offset="1") == [A2[2]]


@pytest.mark.parametrize("plan", SIZES)
def test_a_search_sees_one_version_of_a_study(
    choose: Choose, plan: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FaultyTable, "query", query_one_by_one)  # first, because the service keeps the methods
    choose(plan)
    archive = Archive(tmp_path)
    versions_seen = []
    for steps in itertools.count(1, 2):
        archive.move(f"clinic-{steps}")
        archive.store(image(A), image(A2), image(B))
        planner, query = planner_of(archive), Query(level=Level.INSTANCE, study=STUDY)
        schedule = Schedule(choice := CountedChoice(switch_after(steps)))
        archive.hook = schedule.pause
        outcomes: dict[str, Any] = schedule.run(
            {
                "read": partial(updates_of, planner, archive.partition.key, query),
                "update": lambda: update(archive, "NEW", STUDY),
            }
        )
        archive.hook = None
        assert len(outcomes["read"]) == 3
        versions_seen.append(len(set(outcomes["read"])))
        if choice.steps < steps:
            break
    assert versions_seen == [1] * len(versions_seen)
    assert len(versions_seen) > 3


def updates_of(planner: SearchPlanner, partition: int, query: Query) -> list[str]:
    """Return the last update of each instance that a search finds."""
    return [each.instance.update_id for each in planner.run(partition, query).matches if each.instance]


def planner_of(archive: Archive) -> SearchPlanner:
    table = archive.table
    return SearchPlanner(
        table=table, instances=Instances(table), counts=InstanceCounts(table), newest_metadata=lambda _, found: ()
    )


def test_a_page_of_a_large_study_reads_what_it_holds(choose: Choose, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    fill(archive.table, archive.partition.key, 1, instances=400)
    choose("documents")
    archive.faults.forget_reads()
    assert len(found(archive, StudyInstanceUID=synthetic_study(0, 1).uid, limit="5")) == 5
    assert archive.faults.items_read <= 40


def test_the_rows_of_a_large_study_are_not_held(
    choose: Choose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path)
    fill(archive.table, archive.partition.key, 1, instances=2000, documents=False)
    choose("rows")
    monkeypatch.setattr(members, "_CHUNK", 100)
    planner, query = planner_of(archive), Query(level=Level.INSTANCE, study=synthetic_study(0, 1).uid, limit=10)
    tracemalloc.start()
    try:
        assert len(planner.run(archive.partition.key, query).matches) == 10
        assert tracemalloc.get_traced_memory()[1] < 1_500_000
    finally:
        tracemalloc.stop()
