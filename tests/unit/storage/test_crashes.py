"""A process that dies at any call to the table or the blob store, before it or just after it, leaves an archive in
which nothing is half there, and which comes clean by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.archive import Archive, Uids, file
from tests.support.clock import AdvanceClock
from tests.support.faults import ANY, Killed, Rule, kill, kill_at, run

A = ("2.25.1", "2.25.11", "2.25.111")
A2 = ("2.25.1", "2.25.11", "2.25.112")
B = ("2.25.1", "2.25.12", "2.25.121")
C = ("2.25.2", "2.25.21", "2.25.211")
MANY = [("2.25.1", "2.25.11", f"2.25.9{i}") for i in range(14)]


class Scenario(NamedTuple):
    """What was there, what is under way when the process dies, and which of what was there that is about."""

    before: list[Uids]
    act: Callable[[Archive], object]
    about: frozenset[Uids] = frozenset()


def deleting(*uids: str) -> Callable[[Archive], None]:
    return lambda archive: archive.delete(*uids)


def deleted_and_swept(archive: Archive) -> None:
    archive.delete(A[0])
    archive.work()


SCENARIOS = {
    "store a first instance": Scenario([], lambda archive: archive.store(file(*A))),
    "store beside another": Scenario([A], lambda archive: archive.store(file(*A2))),
    "store a new series": Scenario([A], lambda archive: archive.store(file(*B, modality="MR"))),
    "store many": Scenario([A], lambda archive: archive.store(*(file(*uids) for uids in MANY))),
    "delete an instance": Scenario([A, A2, B], deleting(*A), frozenset({A})),
    "delete the last instance of a series": Scenario([A, B], deleting(*A), frozenset({A})),
    "delete the last instance of a study": Scenario([A, C], deleting(*A), frozenset({A})),
    "delete a series": Scenario([A, A2, B], deleting(*A[:2]), frozenset({A, A2})),
    "delete the last series": Scenario([A, A2], deleting(*A[:2]), frozenset({A, A2})),
    "delete a study": Scenario([A, B, C], deleting(A[0]), frozenset({A, B})),
    "sweep": Scenario([A, B, C], deleted_and_swept, frozenset({A, B})),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_crash_leaves_nothing_half_done(name: str, tmp_path: Path, advance_clock: AdvanceClock) -> None:
    crash, ended = 0, False
    while not ended:
        crash += 1
        observer, archive = Archive(tmp_path, f"clinic-{crash}"), Archive(tmp_path, f"clinic-{crash}")
        ended = survived(SCENARIOS[name], archive, observer, crash, advance_clock)
        advance_clock()
        comes_clean(SCENARIOS[name], observer, advance_clock)
    assert crash > 4


def survived(scenario: Scenario, archive: Archive, observer: Archive, crash: int, advance_clock: AdvanceClock) -> bool:
    """Die at a call; true when there were not that many. Then look from another process."""
    for uids in scenario.before:
        archive.store(file(*uids))
    rule = archive.faults.add(kill_at(crash))
    with suppress(Killed):
        scenario.act(archive)
    advance_clock(10)  # the feed waits for writers that will not come
    assert set(scenario.before) - scenario.about <= observer.visible() <= {A, A2, B, C, *MANY}
    return not rule.hits


def comes_clean(scenario: Scenario, archive: Archive, advance_clock: AdvanceClock) -> None:
    """Work off what is due, store what was stored, delete everything: nothing remains."""
    archive.work()
    advance_clock(10)
    archive.check_clean()
    for uids in scenario.before:
        assert archive.store(file(*uids)) in ([0], [45070])
    assert set(scenario.before) <= archive.visible()
    for study in {uids[0] for uids in archive.visible()}:
        archive.delete(study)
    advance_clock()
    archive.work()
    advance_clock(10)
    archive.check_clean()
    assert not archive.visible()


@pytest.mark.parametrize(
    ("path", "stored"), [(A, A2), (A, B), (A[:2], B)], ids=["instance, its series", "instance, its study", "series"]
)
def test_a_deletion_of_the_last_one_that_dies_hides_nothing_stored_beside_it(
    path: tuple[str, ...], stored: Uids, tmp_path: Path, advance_clock: AdvanceClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process stores at one of the deletion's calls, and the deletion dies at a later one."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    archive, other = Archive(tmp_path), Archive(tmp_path)
    for meeting in count(1):
        for dying in count(meeting + 1):
            for process in (archive, other):
                process.move(f"clinic-{meeting}-{dying}")
            archive.store(file(*A))
            reasons: list[int] = []
            store = partial(store_into, reasons, other, file(*stored))
            meets = archive.faults.add(Rule(run(store), stage=ANY, nth=meeting))
            dies = archive.faults.add(Rule(kill(), stage=ANY, nth=dying))
            with suppress(Killed):
                archive.delete(*path)
            archive.faults.clear()
            advance_clock(10)
            assert (stored in other.visible()) == (reasons == [0])
            if not dies.hits:
                break
        if not meets.hits:
            break
    assert meeting > 10


def store_into(reasons: list[int], archive: Archive, body: bytes) -> None:
    """Store, and add the failure reason to the list: 0 for success."""
    reasons += archive.store(body)
