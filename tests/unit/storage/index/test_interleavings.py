"""Stores, deletions and background work on one study, in many orders of their calls to the table and the blob store.

Two operations: the first is stopped before each of its calls in turn, while the second runs to its end. Three
operations: a seeded random generator decides at each call which one continues, a few hundred times.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.errors import NotFound
from tests.support.archive import Archive, Uids, file
from tests.support.clock import AdvanceClock
from tests.support.schedule import Choose, Schedule
from tests.support.selection import thorough

A: Uids = ("2.25.1", "2.25.11", "2.25.111")
A2: Uids = ("2.25.1", "2.25.11", "2.25.112")
B: Uids = ("2.25.1", "2.25.12", "2.25.121")

Operation = Callable[[Archive], Any]

OPERATIONS: dict[str, Operation] = {
    "store A": lambda archive: archive.store(file(*A)),
    "store A2": lambda archive: archive.store(file(*A2)),
    "store B": lambda archive: archive.store(file(*B)),
    "store B as MR": lambda archive: archive.store(file(*B, modality="MR")),
    "delete A": lambda archive: archive.delete(*A),
    "delete A2": lambda archive: archive.delete(*A2),
    "delete B": lambda archive: archive.delete(*B),
    "delete series A": lambda archive: archive.delete(*A[:2]),
    "delete study": lambda archive: archive.delete(A[0]),
    "work": lambda archive: archive.work(),
}
STORED = {"store A": A, "store A2": A2, "store B": B, "store B as MR": B}
DELETED = {
    "delete A": {A},
    "delete A2": {A2},
    "delete B": {B},
    "delete series A": {A, A2},
    "delete study": {A, A2, B},
}
PAIRS = [
    pytest.param(*pair, marks=() if set(pair) <= {"store A", "delete A", "delete study"} else thorough)
    for pair in itertools.permutations(OPERATIONS, 2)
]
STARTS: tuple[tuple[Uids, ...], ...] = ((), (A,), (A, A2), (A, B))


def run_interleaved(
    archive: Archive, start: Iterable[Uids], names: Sequence[str], choose: Choose, advance_clock: AdvanceClock
) -> None:
    """Run the operations interleaved; compare the result of each with what is stored in the end."""
    schedule = Schedule(choose)
    start = set(start)
    for uids in start:
        archive.store(file(*uids))
    archive.hook = schedule.pause
    outcomes = schedule.run({name: lambda name=name: OPERATIONS[name](archive) for name in names})  # type: ignore[misc]
    archive.hook = None
    found = archive.visible()
    stored = {STORED[name] for name in names if name in STORED and outcomes[name] == [0]}
    refused = {name for name in names if name in STORED and outcomes[name] != [0]}
    deleted = {uids for name in names if outcomes.get(name) is None for uids in DELETED.get(name, ())}
    assert (start | stored) - deleted <= found, "an acknowledged instance is lost"
    assert found <= start | stored, "an instance exists that no operation reported as stored"
    for name in DELETED.keys() & set(names):
        assert outcomes[name] is None or isinstance(outcomes[name], NotFound), outcomes
    if not deleted:
        assert all(STORED[name] in start | stored for name in refused), "a store failed although nothing was deleted"
    advance_clock()
    archive.work()
    assert archive.visible() == found, "the background work changed what readers see"
    archive.check_clean()
    for study in {uids[0] for uids in found}:
        archive.delete(study)
    advance_clock()
    archive.work()
    advance_clock(10)  # the feed waits until no writer can write any more
    archive.check_clean()


def stop_first_after(steps: int) -> Choose:
    """The first operation makes so many steps. Then the second runs to its end, and the first continues."""
    left = [steps]

    def choose(names: Sequence[str]) -> str:
        left[0] -= 1
        return names[0] if left[0] >= 0 else names[-1]

    return choose


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation that waits for another one does not sleep."""
    monkeypatch.setattr(time, "sleep", lambda _: None)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_one_operation_runs_while_another_is_stopped(
    first: str, second: str, tmp_path: Path, advance_clock: AdvanceClock
) -> None:
    archive = Archive(tmp_path)
    for number, start in enumerate(STARTS):
        for at in itertools.count(1):
            steps = [0]
            choose = stop_first_after(at)

            def counted(names: Sequence[str], choose: Choose = choose, steps: list[int] = steps) -> str:
                name = choose(names)
                steps[0] += name == first and second in names
                return name

            archive.move(f"clinic-{number}-{at}")
            run_interleaved(archive, start, (first, second), counted, advance_clock)
            if steps[0] < at:
                break


@pytest.mark.parametrize(("seed", "whole_writes"), [*((seed, False) for seed in range(10)), (10, True)])
def test_three_operations_in_random_order(
    seed: int, whole_writes: bool, tmp_path: Path, advance_clock: AdvanceClock
) -> None:
    generator = random.Random(seed)
    archive = Archive(tmp_path, whole_writes=whole_writes)
    for run in range(20):
        archive.move(f"clinic-{run}")
        run_interleaved(
            archive, generator.choice(STARTS), generator.sample(sorted(OPERATIONS), 3), generator.choice, advance_clock
        )
        for study in {uids[0] for uids in archive.visible()}:
            archive.delete(study)
        advance_clock()
        archive.work()
        advance_clock(10)
        archive.check_clean()


@pytest.mark.parametrize("second", ["delete A2", "delete study"])
def test_a_store_that_expects_its_parents_runs_while_a_deletion_is_stopped(
    second: str, tmp_path: Path, advance_clock: AdvanceClock
) -> None:
    archive = Archive(tmp_path, whole_writes=True)
    for first, then in (("store A", second), (second, "store A")):
        for at in range(1, 14):
            archive.move(f"clinic-{first[0]}-{at}")
            run_interleaved(archive, (A2,), (first, then), stop_first_after(at), advance_clock)


@pytest.mark.parametrize("write", [3, 4])
def test_a_row_that_was_removed_and_created_again_is_another_row(
    write: int, tmp_path: Path, advance_clock: AdvanceClock
) -> None:
    """A deletion is stopped before it removes the series row or the study row.

    Another process ends the deletion and stores the same UIDs again, with as many writes to the rows as before. The
    deletion continues, and must not remove the new rows.
    """
    archive, other = Archive(tmp_path), Archive(tmp_path)
    archive.store(file(*A))
    writes: list[str] = []

    def hook(call: str) -> None:
        writes.extend([call] if call == "table.write" else [])
        if len(writes) == write and call == "table.write":
            advance_clock()
            other.work()
            assert other.store(file(*A)) == [0]
            assert other.store(file(*A2, StudyDescription="new", ManufacturerModelName="new")) == [0]

    archive.hook = hook
    archive.delete(*A[:2])
    archive.hook = None
    assert len(writes) >= write
    assert {uids[2] for uids in (A, A2)} == {row["00080018"]["Value"][0] for row in archive.search("instance")}
    assert len(archive.search("study")) == len(archive.search("series")) == 1
