"""A thread that waits for memory or for a decoding process has no work slot meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import pytest

from app.imaging.decoding.pool import DecodingPool
from app.request_slot import given_away, set_slot
from app.services.memory_budget import MemoryBudget


class WatchedSlot:
    """A work slot that knows whether the request has it."""

    def __init__(self) -> None:
        self.held = True
        self.given = Event()

    def give_away(self) -> None:
        self.held = False
        self.given.set()

    def resume(self) -> None:
        self.held = True


@pytest.fixture
def slot() -> Iterator[WatchedSlot]:
    """The slot of this thread."""
    own = WatchedSlot()
    set_slot(own)
    yield own
    set_slot(None)


def test_a_thread_without_a_slot_goes_on() -> None:
    with given_away():
        pass


def test_a_thread_that_helps_a_request_does_not_give_its_slot_away(slot: WatchedSlot) -> None:
    def help_request() -> None:
        with given_away():
            pass

    helper = Thread(target=help_request)
    helper.start()
    helper.join(60)
    assert not slot.given.is_set()


def test_the_slot_is_there_again_after_an_error(slot: WatchedSlot) -> None:
    with pytest.raises(ValueError, match="a"), given_away():
        assert not slot.held
        raise ValueError("a")
    assert slot.held


def test_a_request_that_waits_for_memory_has_no_slot() -> None:
    budget, slot, entered = MemoryBudget(100), WatchedSlot(), Event()

    def work() -> None:
        set_slot(slot)
        with budget.use(50):
            assert slot.held
            entered.set()

    with budget.use(60):
        request = Thread(target=work)
        request.start()
        assert slot.given.wait(60)
        assert not entered.is_set()
    request.join(60)
    assert entered.is_set()


def test_memory_that_is_free_costs_no_slot(slot: WatchedSlot) -> None:
    with MemoryBudget(100).use(50):
        pass
    assert not slot.given.is_set()


def test_a_request_whose_frame_is_decoded_has_no_slot(slot: WatchedSlot, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []

    class Process:
        runs = True
        idle_since = 0.0

        def __init__(self, memory: int) -> None: ...

        def ask(self, *_: Any) -> str:
            held.append(slot.held)
            return "answer"

        def end(self) -> None: ...

    monkeypatch.setattr("app.imaging.decoding.pool.DecodingProcess", Process)
    pool = DecodingPool(processes=1, seconds=1, memory=1)
    answer: Any = pool.run(b"", b"", lambda _: True)
    pool.close()
    assert answer == "answer"
    assert held == [False]
    assert slot.held
