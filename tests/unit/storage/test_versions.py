"""A bulk update is killed before and after each of its writes, and meets stores, deletions and readers at each of them:
studies are updated as a whole or not at all, and nothing remains but what is wanted.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from app.dicom.editing import rewrite
from app.dicom.editing.rewrite import NewValue, RewrittenFile
from app.dicom.encoding.elements import Buffer
from app.dicom.encoding.part10 import Part10
from app.errors import InvalidInstance, NotFound, OperationActive
from app.services.operations import runner
from app.services.update import new_versions, task
from app.storage.operations.operations import Operation
from app.storage.table.ports import ALL, Item, Range
from app.storage.tags.query_tags import QueryTags, QueryTagStore
from tests.support.archive import Archive, Uids
from tests.support.clock import AdvanceClock
from tests.support.faults import FaultyTable, Killed, kill_at
from tests.support.schedule import Choose, Schedule
from tests.support.updates import (
    TAGS,
    Seen,
    check_tags,
    check_tidy,
    found,
    image,
    indexed,
    seen,
    start,
    update,
    updates,
)

A: Uids = ("2.25.1", "2.25.11", "2.25.111")
A2: Uids = ("2.25.1", "2.25.11", "2.25.112")
B: Uids = ("2.25.1", "2.25.12", "2.25.121")
NEW: Uids = ("2.25.1", "2.25.11", "2.25.119")
C: Uids = ("2.25.2", "2.25.21", "2.25.211")
STUDY, OTHER = A[0], C[0]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are small, leases end at once, waits too, and there are extended query tags."""
    monkeypatch.setattr(task, "BATCH", 2)
    monkeypatch.setattr(runner, "LEASE_SECONDS", 0)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(QueryTagStore, "read", lambda _: QueryTags(0, TAGS))


def stored(archive: Archive) -> None:
    assert archive.store(image(A), image(A2, compressed=True), image(B), image(C)) == [0] * 4


# --- crashes ----------------------------------------------------------------------------------------------------------


class Scenario(NamedTuple):
    """What is done before, what then each study shows once both were updated, and how often each was by then."""

    prepare: Callable[[Archive], object]
    shown: dict[str, str]
    updates: dict[str, int]
    results: dict[str, object]


SUCCESS: dict[str, object] = {"studyProcessed": 2, "studyUpdated": 2, "studyFailed": 0, "instanceUpdated": 4}
FAILURE: dict[str, object] = {
    "studyProcessed": 2,
    "studyUpdated": 1,
    "studyFailed": 1,
    "instanceUpdated": 1,
    "errors": [
        f"Failed to update instances for study {STUDY}",
        f"It is broken. PartitionKey: clinic, StudyInstanceUID: {B[0]}, SeriesInstanceUID: {B[1]}, "
        f"SOPInstanceUID: {B[2]}",
    ],
}
SCENARIOS = {
    "first update": Scenario(lambda _: None, {STUDY: "NEW", OTHER: "NEW"}, {STUDY: 1, OTHER: 1}, SUCCESS),
    "second update": Scenario(
        lambda archive: update(archive, "FIRST", STUDY, OTHER),
        {STUDY: "NEW", OTHER: "NEW"},
        {STUDY: 2, OTHER: 2},
        SUCCESS,
    ),
    "failing update": Scenario(lambda _: None, {STUDY: "OLD", OTHER: "NEW"}, {STUDY: 0, OTHER: 1}, FAILURE),
}


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[Uids], None]:
    """Lets the file of one instance be such that no other version can be made of it."""

    def refuse(uids: Uids) -> None:
        def rewrite_file(data: Buffer, part10: Part10, values: dict[int, NewValue]) -> RewrittenFile:
            if part10.raw(0x00080018).rstrip(b"\0") == uids[2].encode():
                raise InvalidInstance("It is broken.")
            return rewrite.rewrite_file(data, part10, values)

        monkeypatch.setattr(new_versions, "rewrite_file", rewrite_file)

    return refuse


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_crash_at_any_write_changes_nothing_in_the_end(
    name: str, tmp_path: Path, advance_clock: AdvanceClock, broken: Callable[[Uids], None]
) -> None:
    scenario = SCENARIOS[name]
    for crash in itertools.count(1):
        archive, observer = Archive(tmp_path, f"clinic-{crash}"), Archive(tmp_path, f"clinic-{crash}")
        stored(archive)
        scenario.prepare(archive)
        if name == "failing update":
            broken(B)
        before = seen(archive)
        operation = start(archive, "NEW", STUDY, OTHER)
        rule = archive.faults.add(kill_at(crash))
        with suppress(Killed):
            archive.work()
        half_way(observer, before)
        observer.work()
        advance_clock(7200)
        observer.work()
        advance_clock(10)
        ended(observer, operation, scenario)
        if not rule.hits:
            break
    assert crash > 60


def half_way(archive: Archive, before: dict[Uids, Seen]) -> None:
    """Assert that of each study all instances are new or none is."""
    now = seen(archive, feed=False)
    assert now.keys() == before.keys()
    for study in (STUDY, OTHER):
        (value,) = {value for uids, value in now.items() if uids[0] == study}
        assert value in (before[A], Seen("NEW", "OLD")), "half an update shows"
        assert indexed(archive, study) == value.now


def ended(archive: Archive, operation: str, scenario: Scenario) -> None:
    """Assert the end state."""
    assert seen(archive) == {uids: Seen(scenario.shown[uids[0]], "OLD") for uids in (A, A2, B, C)}
    for uids in (A, A2, B, C):
        assert updates(archive, uids) == scenario.updates[uids[0]], "not one entry for each update"
    for study, patient in scenario.shown.items():
        assert indexed(archive, study) == patient
    check_tags(archive, scenario.shown)
    answer = found(archive, operation)
    assert (answer.status, answer.percent) == ("failed" if "errors" in scenario.results else "succeeded", 100)
    errors = [str(line).replace(f"{archive.partition.name},", "clinic,") for line in answer.results.get("errors", ())]
    assert {**answer.results, **({"errors": errors} if errors else {})} == scenario.results
    check_tidy(archive)


# --- meeting others ---------------------------------------------------------------------------------------------------


def stops(at: int) -> Choose:
    """Lets the first operation make `at` steps, then the second run to its end, then the first."""
    left = [at]

    def choose(names: Sequence[str]) -> str:
        left[0] -= 1
        return names[0] if left[0] >= 0 else names[-1]

    return choose


OTHERS: dict[str, Callable[[Archive], object]] = {
    "store a like one": lambda archive: archive.store(image(NEW)),
    "store an unlike one": lambda archive: archive.store(image(NEW, "UNLIKE")),
    "store a new series": lambda archive: archive.store(image((STUDY, "2.25.13", "2.25.131"), "UNLIKE")),
    "store one again": lambda archive: archive.store(image(A)),
    "delete an instance": lambda archive: archive.delete(*A),
    "delete a series": lambda archive: archive.delete(*B[:2]),
    "delete the study": lambda archive: archive.delete(STUDY),
    "update": lambda archive: update(archive, "OTHER", STUDY),
    "work too": lambda archive: another(archive).work(),
}
DELETED = {"delete an instance": {A}, "delete a series": {B}, "delete the study": {A, A2, B}}
STORED = {"store a like one": NEW, "store an unlike one": NEW, "store a new series": (STUDY, "2.25.13", "2.25.131")}


def another(archive: Archive) -> Archive:
    """Another process, that believes the first one dead."""
    other = Archive(archive.folder, archive.partition.name)
    other.hook = archive.hook
    return other


@pytest.mark.parametrize("first", [True, False], ids=["update first", "update second"])
@pytest.mark.parametrize("name", OTHERS)
def test_another_meets_it_at_every_call(
    name: str, first: bool, tmp_path: Path, advance_clock: AdvanceClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not first:  # with none, rows of series are no longer written, which hides who writes what is in them
        monkeypatch.setattr(QueryTagStore, "read", lambda _: QueryTags())
    archive = Archive(tmp_path)
    for at in itertools.count(1):
        archive.move(f"clinic-{at}")
        archive.store(image(A), image(A2, compressed=True), image(B))
        schedule = Schedule(counted := Counted(stops(at)))
        archive.hook = schedule.pause
        acts = {"update": lambda: update(archive, "NEW", STUDY), name + ".": lambda: OTHERS[name](archive)}
        outcomes = schedule.run(acts if first else dict(reversed(acts.items())))
        archive.hook = None
        archive.work()
        agreed(archive, name, outcomes[name + "."])
        advance_clock(7200)
        archive.work()
        advance_clock(10)
        agreed(archive, name, outcomes[name + "."])
        check_tidy(archive)
        if counted.steps < at:
            break
    assert at > 2


class Counted:
    """Chooses like another, and counts how often it was the first's turn while there was a choice."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self.steps = 0

    def __call__(self, names: Sequence[str]) -> str:
        name = self._choose(names)
        self.steps += name == names[0] and len(names) > 1
        return name


def agreed(archive: Archive, name: str, outcome: object) -> None:
    """Assert that what is seen is what both were told."""
    now = seen(archive)
    assert outcome in (None, [0], [45070]) or isinstance(outcome, NotFound | OperationActive | Operation), outcome
    there = {A, A2, B} - (DELETED.get(name, set()) if outcome is None else set())
    if outcome == [0]:
        there.add(STORED[name])
    assert now.keys() == there
    old = {now[uids].now for uids in there & {A, A2, B}}
    assert len(old) <= 1, "half an update shows"
    if outcome == [0]:
        assert indexed(archive, STUDY) == now[STORED[name]].now, "the index has not what was stored last"
    elif there:
        assert indexed(archive, STUDY) == old.pop()


@pytest.mark.parametrize("name", ["delete the study", "delete a series"])
def test_a_deletion_under_way_meets_a_write(name: str, tmp_path: Path, advance_clock: AdvanceClock) -> None:
    """The update makes some steps, the deletion makes some, the update goes on to its end, and then the deletion."""
    archive = Archive(tmp_path)
    for first, second in itertools.product(range(8, 44, 2), range(1, 8)):
        archive.move(f"clinic-{first}-{second}")
        archive.store(image(A), image(A2, compressed=True), image(B))
        turns = iter([0] * first + [-1] * second)
        schedule = Schedule(lambda names, turns=turns: names[next(turns, 0)])  # type: ignore[misc]
        archive.hook = schedule.pause
        schedule.run({"update": lambda: update(archive, "NEW", STUDY), name: lambda: OTHERS[name](archive)})
        archive.hook = None
        archive.work()
        advance_clock(7200)
        archive.work()
        advance_clock(10)
        assert seen(archive).keys() == {A, A2, B} - DELETED[name]
        check_tidy(archive)


query = FaultyTable.query


def one_by_one(
    self: FaultyTable, pk: str, between: Range = ALL, *, reverse: bool = False, limit: int | None = None
) -> Iterator[Item]:
    """Yield the items of a query in pages of one, so that much can happen between them."""
    for _ in range(limit or 1000):
        item = next(query(self, pk, between, reverse=reverse, limit=1), None)
        if item is None:
            return
        between = Range(between.low, item.key.sk[:-1]) if reverse else Range(item.key.sk + " ", between.high)
        yield item


@pytest.mark.parametrize("path", [(STUDY,), A[:2]], ids=["study", "series"])
@pytest.mark.parametrize("earlier", [False, True], ids=["first update", "second update"])
def test_readers_see_all_new_or_all_old(
    path: tuple[str, ...], earlier: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path)
    found = []
    for at in itertools.count(1):
        archive.move(f"clinic-{at}")
        archive.store(image(A), image(A2), image(B))
        if earlier:
            update(archive, "FIRST", STUDY)
        with monkeypatch.context() as patch:
            patch.setattr(FaultyTable, "query", one_by_one)
            schedule = Schedule(counted := Counted(stops(at)))
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
        found.append(len(outcomes["read"]))
        if counted.steps < at:
            break
    assert found == [1] * len(found)
    assert len(found) > 5


def test_an_updated_study_is_read_once(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    stored(archive)
    update(archive, "NEW", STUDY)
    archive.store(image(NEW))
    archive.faults.calls.clear()
    assert len(archive.services.retrieve.instances(archive.partition, STUDY)) == 4
    assert archive.faults.calls == {"table.query": 1}


@pytest.mark.parametrize("seed", range(8))
def test_others_meet_it_by_chance(seed: int, tmp_path: Path, advance_clock: AdvanceClock) -> None:
    chance = random.Random(seed)
    archive = Archive(tmp_path)
    for run in range(12):
        archive.move(f"clinic-{run}")
        archive.store(image(A), image(A2, compressed=True), image(B))
        schedule = Schedule(chance.choice)
        archive.hook = schedule.pause
        names = chance.sample([name for name in OTHERS if name != "work too"], 2)
        acts = {name: lambda name=name: OTHERS[name](archive) for name in names}  # type: ignore[misc]
        schedule.run(acts | {"NEW": lambda: update(archive, "NEW", STUDY)})
        archive.hook = None
        archive.work()
        advance_clock(7200)
        archive.work()
        advance_clock(10)
        now = seen(archive)
        assert len({now[uids].now for uids in now.keys() & {A, A2, B}}) <= 1, "half an update shows"
        check_tidy(archive)
