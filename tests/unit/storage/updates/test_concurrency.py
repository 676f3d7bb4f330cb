"""A bulk update while other processes store, delete, update and read. No reader sees a study that is half updated."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from app.errors import NotFound, OperationActive
from app.storage.operations.operations import Operation
from app.storage.search.page_builder import PageBuilder
from app.storage.table.ports import ALL, Item, Range
from app.storage.tags.query_tags import QueryTags, QueryTagStore
from tests.support.archive import Archive, Uids
from tests.support.clock import AdvanceClock
from tests.support.faulty_engine import FaultyTable
from tests.support.schedule import Choose, Schedule
from tests.support.selection import quick, thorough
from tests.support.updates import check_nothing_left_over, image, indexed_patient_id, update, visible_patients
from tests.unit.storage.updates.studies import A2, NEW, STUDY, A, B, store_both_studies, store_study

NEW_SERIES: Uids = (STUDY, "2.25.13", "2.25.131")

OTHERS: dict[str, Callable[[Archive], object]] = {
    "store with the same patient": lambda archive: archive.store(image(NEW)),
    "store with another patient": lambda archive: archive.store(image(NEW, "OTHER")),
    "store a new series": lambda archive: archive.store(image(NEW_SERIES, "OTHER")),
    "store a duplicate": lambda archive: archive.store(image(A)),
    "delete an instance": lambda archive: archive.delete(*A),
    "delete a series": lambda archive: archive.delete(*B[:2]),
    "delete the study": lambda archive: archive.delete(STUDY),
    "another update": lambda archive: update(archive, "OTHER", STUDY),
    "another worker": lambda archive: other_process(archive).work(),
}
DELETED = {"delete an instance": {A}, "delete a series": {B}, "delete the study": {A, A2, B}}
STORED = {
    "store with the same patient": NEW,
    "store with another patient": NEW,
    "store a new series": NEW_SERIES,
}


def other_process(archive: Archive) -> Archive:
    """Return another process on the same folder. Leases end at once, so it takes over the operations of the first."""
    other = Archive(archive.folder, archive.partition.name)
    other.hook = archive.hook
    return other


# --- schedules --------------------------------------------------------------------------------------------------------


def switch_after(steps: int) -> Choose:
    """Let the first process make some steps, then the second run to its end, then the first."""
    left = [steps]

    def choose(names: Sequence[str]) -> str:
        left[0] -= 1
        return names[0] if left[0] >= 0 else names[-1]

    return choose


class CountedChoice:
    """Chooses like another, and counts the steps of the first process while the second one can run."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self.steps = 0

    def __call__(self, names: Sequence[str]) -> str:
        name = self._choose(names)
        self.steps += name == names[0] and len(names) > 1
        return name


def finish_all_work(archive: Archive, advance_clock: AdvanceClock) -> None:
    """Run the background work that is due now, and what becomes due within two hours."""
    archive.hook = None
    archive.work()
    advance_clock(7200)
    archive.work()
    advance_clock(10)


# --- writers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("update_first", [True, False], ids=["update first", "update second"])
@pytest.mark.parametrize("name", quick(["store with another patient", "delete the study"], OTHERS))
def test_other_process_at_every_call(
    name: str, update_first: bool, tmp_path: Path, advance_clock: AdvanceClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process stops at each of its calls in turn, and the other runs to its end.

    The worker builds no pages of values: those of all partitions would become due in one of the last turns, which would
    take longer than the stopped process may wait. `tests/unit/storage/search/test_value_pages.py` has them.
    """
    monkeypatch.setattr(PageBuilder, "build_pages", lambda _: False)
    if not update_first:  # without tags a store does not write the series row, which would otherwise conflict first
        monkeypatch.setattr(QueryTagStore, "read", lambda _: QueryTags())
    archive = Archive(tmp_path)
    for steps in itertools.count(1):
        archive.move(f"clinic-{steps}")
        store_study(archive)
        schedule = Schedule(choice := CountedChoice(switch_after(steps)))
        archive.hook = schedule.pause
        processes = {"update": lambda: update(archive, "NEW", STUDY), "other": lambda: OTHERS[name](archive)}
        outcomes = schedule.run(processes if update_first else dict(reversed(processes.items())))
        archive.hook = None
        archive.work()
        check_consistent_with_answer(archive, name, outcomes["other"])
        finish_all_work(archive, advance_clock)
        check_consistent_with_answer(archive, name, outcomes["other"])
        check_nothing_left_over(archive)
        if choice.steps < steps:
            break
    assert steps > 2


def check_consistent_with_answer(archive: Archive, name: str, answer: object) -> None:
    """Assert that readers see what the other process acknowledged, and one version of the study."""
    now = visible_patients(archive)
    assert answer in (None, [0], [45070]) or isinstance(answer, NotFound | OperationActive | Operation), answer
    expected = {A, A2, B} - (DELETED.get(name, set()) if answer is None else set())
    if answer == [0]:
        expected.add(STORED[name])
    assert now.keys() == expected
    patient_ids = {now[uids].current for uids in expected & {A, A2, B}}
    assert len(patient_ids) <= 1, "readers see a study that is half updated"
    if answer == [0]:
        assert indexed_patient_id(archive, STUDY) == now[STORED[name]].current, "the last store does not win"
    elif expected:
        assert indexed_patient_id(archive, STUDY) == patient_ids.pop()


@thorough
@pytest.mark.parametrize("name", ["delete the study", "delete a series"])
def test_update_continues_during_a_deletion(name: str, tmp_path: Path, advance_clock: AdvanceClock) -> None:
    """The update makes some steps, the deletion makes some, the update runs to its end, then the deletion does."""
    archive = Archive(tmp_path)
    for update_steps, delete_steps in itertools.product(range(8, 44, 2), range(1, 8)):
        archive.move(f"clinic-{update_steps}-{delete_steps}")
        store_study(archive)
        turns = iter([0] * update_steps + [-1] * delete_steps)
        schedule = Schedule(lambda names, turns=turns: names[next(turns, 0)])  # type: ignore[misc]
        archive.hook = schedule.pause
        schedule.run({"update": lambda: update(archive, "NEW", STUDY), name: lambda: OTHERS[name](archive)})
        finish_all_work(archive, advance_clock)
        assert visible_patients(archive).keys() == {A, A2, B} - DELETED[name]
        check_nothing_left_over(archive)


@pytest.mark.parametrize("seed", range(8))
def test_random_schedules(seed: int, tmp_path: Path, advance_clock: AdvanceClock) -> None:
    chance = random.Random(seed)
    archive = Archive(tmp_path)
    for run in range(12):
        archive.move(f"clinic-{run}")
        store_study(archive)
        schedule = Schedule(chance.choice)
        archive.hook = schedule.pause
        names = chance.sample([name for name in OTHERS if name != "another worker"], 2)
        processes = {name: lambda name=name: OTHERS[name](archive) for name in names}
        schedule.run(processes | {"update": lambda: update(archive, "NEW", STUDY)})
        finish_all_work(archive, advance_clock)
        now = visible_patients(archive)
        patient_ids = {now[uids].current for uids in now.keys() & {A, A2, B}}
        assert len(patient_ids) <= 1, "readers see a study that is half updated"
        check_nothing_left_over(archive)


# --- readers ----------------------------------------------------------------------------------------------------------

query = FaultyTable.query


def query_one_by_one(
    self: FaultyTable, pk: str, between: Range = ALL, *, reverse: bool = False, limit: int | None = None
) -> Iterator[Item]:
    """Query in pages of one item. The schedule can then switch between any two items."""
    for _ in range(limit or 1000):
        item = next(query(self, pk, between, reverse=reverse, limit=1), None)
        if item is None:
            return
        between = Range(between.low, item.key.sk[:-1]) if reverse else Range(item.key.sk + " ", between.high)
        yield item


@pytest.mark.parametrize("path", [(STUDY,), A[:2]], ids=["study", "series"])
@pytest.mark.parametrize("earlier", [False, True], ids=["first update", "second update"])
def test_readers_see_one_version_of_a_study(
    path: tuple[str, ...], earlier: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FaultyTable, "query", query_one_by_one)  # first, because the service keeps the methods
    archive = Archive(tmp_path)
    versions_seen = []
    for steps in itertools.count(1):
        archive.move(f"clinic-{steps}")
        archive.store(image(A), image(A2), image(B))
        if earlier:
            update(archive, "FIRST", STUDY)
        schedule = Schedule(choice := CountedChoice(switch_after(steps)))
        archive.hook = schedule.pause
        outcomes = schedule.run(
            {
                "read": lambda: {
                    row.update_id for row in archive.services.retrieve.instances(archive.partition, *path)
                },
                "update": lambda: update(archive, "NEW", STUDY),
            }
        )
        archive.hook = None
        versions_seen.append(len(outcomes["read"]))
        if choice.steps < steps:
            break
    assert versions_seen == [1] * len(versions_seen)
    assert len(versions_seen) > 5


def test_updated_study_is_read_with_one_query(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    store_both_studies(archive)
    update(archive, "NEW", STUDY)
    archive.store(image(NEW))
    archive.faults.calls.clear()
    assert len(archive.services.retrieve.instances(archive.partition, STUDY)) == 4
    assert archive.faults.calls == {"table.query": 1}
