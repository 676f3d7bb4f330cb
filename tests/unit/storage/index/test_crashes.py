"""A process is killed before or after any of its calls to the table or the blob store.

Readers never see an incomplete store or deletion, and the background work removes everything that is left.
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

from app.storage.index import cleanup
from tests.support.archive import Archive, Uids, file
from tests.support.clock import AdvanceClock
from tests.support.faults import ANY, Killed, Rule, kill, kill_at, run
from tests.support.selection import quick, thorough

A = ("2.25.1", "2.25.11", "2.25.111")
A2 = ("2.25.1", "2.25.11", "2.25.112")
B = ("2.25.1", "2.25.12", "2.25.121")
C = ("2.25.2", "2.25.21", "2.25.211")
MANY = [("2.25.1", "2.25.11", f"2.25.9{i}") for i in range(14)]


class Scenario(NamedTuple):
    """What is stored before, the act in which the process is killed, and which of the instances the act deletes.

    `small_pages` lets a deletion remove two rows at a time, and leave most of them to the worker.
    """

    before: list[Uids]
    act: Callable[[Archive], object]
    deletes: frozenset[Uids] = frozenset()
    small_pages: bool = False


def deleting(*uids: str) -> Callable[[Archive], None]:
    return lambda archive: archive.delete(*uids)


def delete_and_work(archive: Archive) -> None:
    archive.delete(A[0])
    archive.work()


def delete_series_and_work(archive: Archive) -> None:
    archive.delete(*A[:2])
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
    "sweep": Scenario([A, B, C], delete_and_work, frozenset({A, B})),
    "delete a large study": Scenario([*MANY[:6], B, C], delete_and_work, frozenset({*MANY[:6], B}), small_pages=True),
    "delete a large series": Scenario([*MANY[:6], B], delete_series_and_work, frozenset(MANY[:6]), small_pages=True),
}


@pytest.mark.parametrize(
    "name", quick([name for name, scenario in SCENARIOS.items() if not scenario.small_pages], SCENARIOS)
)
def test_a_crash_leaves_nothing_incomplete(
    name: str, tmp_path: Path, advance_clock: AdvanceClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    if SCENARIOS[name].small_pages:
        monkeypatch.setattr(cleanup, "_PAGE", 2)
        monkeypatch.setattr(cleanup, "IN_REQUEST", cleanup.WorkLimit(pages=1, seconds=1000))
    crash, ended = 0, False
    while not ended:
        crash += 1
        observer, archive = Archive(tmp_path, f"clinic-{crash}"), Archive(tmp_path, f"clinic-{crash}")
        ended = act_until_killed(SCENARIOS[name], archive, observer, crash, advance_clock)
        advance_clock()
        check_background_work(SCENARIOS[name], observer, advance_clock)
    assert crash > 2


def act_until_killed(
    scenario: Scenario, archive: Archive, observer: Archive, crash: int, advance_clock: AdvanceClock
) -> bool:
    """Act, and be killed at a call. Then read from another process. Whether the act ended before that call."""
    for uids in scenario.before:
        archive.store(file(*uids))
    rule = archive.faults.add(kill_at(crash))
    with suppress(Killed):
        scenario.act(archive)
    advance_clock(10)  # the feed waits until the killed writer can write no more
    assert set(scenario.before) - scenario.deletes <= observer.visible() <= {A, A2, B, C, *MANY}
    return not rule.hits


def check_background_work(scenario: Scenario, archive: Archive, advance_clock: AdvanceClock) -> None:
    """Do the work that is due, store the instances again, delete everything; nothing is left."""
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


@thorough
@pytest.mark.parametrize(
    ("path", "stored"), [(A, A2), (A, B), (A[:2], B)], ids=["instance, its series", "instance, its study", "series"]
)
def test_a_killed_deletion_of_the_last_member_hides_no_instance_stored_beside_it(
    path: tuple[str, ...], stored: Uids, tmp_path: Path, advance_clock: AdvanceClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process stores during one call of the deletion, and the deletion is killed at a later call."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    archive, other = Archive(tmp_path), Archive(tmp_path)
    for store_at in count(1):
        for killed_at in count(store_at + 1):
            for process in (archive, other):
                process.move(f"clinic-{store_at}-{killed_at}")
            archive.store(file(*A))
            reasons: list[int] = []
            store = partial(store_into, reasons, other, file(*stored))
            stores = archive.faults.add(Rule(run(store), stage=ANY, nth=store_at))
            kills = archive.faults.add(Rule(kill(), stage=ANY, nth=killed_at))
            with suppress(Killed):
                archive.delete(*path)
            archive.faults.clear()
            advance_clock(10)
            assert (stored in other.visible()) == (reasons == [0])
            if not kills.hits:
                break
        if not stores.hits:
            break
    assert store_at > 10


def store_into(reasons: list[int], archive: Archive, body: bytes) -> None:
    """Store, and add the failure reason to the list: 0 for success."""
    reasons += archive.store(body)
