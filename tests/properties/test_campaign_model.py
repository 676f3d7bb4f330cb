"""The model of the fault campaign: which states of an instance explain the answers that clients got."""

from __future__ import annotations

import pytest

from tests.torture.model import ABSENT, DeleteOutcome, KnownInstance, KnownStudy, State, Stored, StoreOutcome

STORED, EXISTS, UNKNOWN = StoreOutcome.STORED, StoreOutcome.EXISTS, StoreOutcome.UNKNOWN
FIRST, SECOND = Stored(0), Stored(1)


def instance(*states: State) -> KnownInstance:
    study = KnownStudy("clinic", "2.25.1", 1)
    return KnownInstance(study, "2.25.2", "2.25.3", bodies=[b"first", b"second"], states=set(states))


@pytest.mark.parametrize(
    ("before", "outcomes", "after"),
    [
        ([ABSENT], [(0, STORED)], {FIRST}),
        ([ABSENT], [(0, UNKNOWN)], {ABSENT, FIRST}),
        ([ABSENT, FIRST], [(1, EXISTS)], {FIRST}),
        ([ABSENT, FIRST], [(1, STORED)], {SECOND}),
        ([ABSENT, FIRST], [(1, UNKNOWN)], {ABSENT, FIRST, SECOND}),
        ([FIRST], [(1, UNKNOWN)], {FIRST}),
        ([ABSENT], [(0, STORED), (1, EXISTS)], {FIRST}),
        ([ABSENT], [(0, UNKNOWN), (1, EXISTS)], {FIRST}),
        ([ABSENT], [(0, UNKNOWN), (1, UNKNOWN)], {ABSENT, FIRST, SECOND}),
    ],
)
def test_states_after_stores(before: list[State], outcomes: list[tuple[int, StoreOutcome]], after: set[State]) -> None:
    known = instance(*before)
    assert known.stored(outcomes)
    assert known.states == after


@pytest.mark.parametrize(
    ("before", "outcomes"),
    [
        ([FIRST], [(1, STORED)]),
        ([ABSENT], [(0, EXISTS)]),
        ([ABSENT], [(0, STORED), (1, STORED)]),
        ([ABSENT], [(0, EXISTS), (1, EXISTS)]),
    ],
)
def test_no_state_explains_these_stores(before: list[State], outcomes: list[tuple[int, StoreOutcome]]) -> None:
    assert not instance(*before).stored(outcomes)


@pytest.mark.parametrize(
    ("before", "outcome", "after"),
    [
        ([FIRST], DeleteOutcome.DELETED, {ABSENT}),
        ([FIRST], DeleteOutcome.UNKNOWN, {ABSENT, FIRST}),
        ([ABSENT, FIRST], DeleteOutcome.NOT_FOUND, {ABSENT}),
    ],
)
def test_states_after_a_deletion(before: list[State], outcome: DeleteOutcome, after: set[State]) -> None:
    known = instance(*before)
    assert known.deleted(outcome)
    assert known.states == after


def test_no_state_explains_that_a_stored_instance_is_not_found() -> None:
    assert not instance(FIRST).deleted(DeleteOutcome.NOT_FOUND)
    assert not instance(FIRST).seen(ABSENT)
    assert not instance(FIRST).seen(SECOND)


@pytest.mark.parametrize(
    ("entries", "explained"),
    [("CUD", True), ("CUDC", True), ("CD", False), ("CU", False), ("CCUD", False), ("CUUD", False), ("", False)],
)
def test_entries_of_the_feed(entries: str, explained: bool) -> None:
    """A store, an update and a deletion are acknowledged. A second store has no answer."""
    known = instance(ABSENT)
    known.stored([(0, STORED)])
    known.updated(7, certain=True)
    known.deleted(DeleteOutcome.DELETED)
    known.stored([(1, UNKNOWN)])
    assert known.explains(list(entries)) is explained
