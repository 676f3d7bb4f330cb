"""The repetition of a step that met another writer."""

from __future__ import annotations

import random

import pytest

from app.errors import Conflict, StorageUnavailable
from app.storage.table.ports import Key
from app.storage.table.retry import RETRY, RetriesExhausted, Retry, retry
from tests.support.clock import ManualClock

KEY = Key("study", "1")


class Step:
    """A step that fails `failures` times and then returns "done". Each call takes `seconds`."""

    def __init__(self, failures: int, clock: ManualClock, error: Exception | None = None, seconds: float = 0) -> None:
        self.calls = 0
        self._failures = failures
        self._clock = clock
        self._error = error or Conflict(KEY)
        self._seconds = seconds

    def __call__(self) -> str:
        self.calls += 1
        self._clock.now += self._seconds
        if self.calls <= self._failures:
            raise self._error
        return "done"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000)


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jitter that always chooses the upper bound."""
    monkeypatch.setattr(random, "uniform", lambda _, high: high)


def limits(clock: ManualClock, **fields: float) -> Retry:
    return Retry(sleep=clock.sleep, monotonic=clock, **fields)  # type: ignore[arg-type]


def test_a_step_that_succeeds_runs_once_and_does_not_sleep(clock: ManualClock) -> None:
    step = Step(0, clock)
    assert limits(clock).run(step) == "done"
    assert (step.calls, clock.pauses) == (1, [])


def test_a_step_that_conflicts_runs_again(clock: ManualClock) -> None:
    step = Step(3, clock)
    assert limits(clock).run(step) == "done"
    assert (step.calls, len(clock.pauses)) == (4, 3)


@pytest.mark.usefixtures("longest")
def test_the_pauses_double_up_to_the_longest(clock: ManualClock) -> None:
    limits(clock, first_pause=1, longest_pause=5, seconds=100).run(Step(5, clock))
    assert clock.pauses == [1, 2, 4, 5, 5]


def test_the_pauses_are_random_between_zero_and_the_bound(clock: ManualClock) -> None:
    limits(clock, first_pause=8, longest_pause=8, attempts=200, seconds=10_000).run(Step(150, clock))
    assert min(clock.pauses) < 1
    assert max(clock.pauses) > 7
    assert all(0 <= pause <= 8 for pause in clock.pauses)


def test_the_attempts_are_limited(clock: ManualClock) -> None:
    step = Step(100, clock)
    with pytest.raises(RetriesExhausted) as raised:
        limits(clock, attempts=5).run(step)
    assert step.calls == 5
    assert isinstance(raised.value, StorageUnavailable)
    assert isinstance(raised.value.__cause__, Conflict)


def test_no_attempt_begins_after_the_deadline(clock: ManualClock) -> None:
    step = Step(100, clock, seconds=4)
    with pytest.raises(RetriesExhausted):
        limits(clock, seconds=10).run(step)
    assert step.calls == 3
    assert clock.now < 1000 + 4 * 3 + 1


def test_another_error_leaves_at_once(clock: ManualClock) -> None:
    step = Step(100, clock, ValueError("no conflict"))
    with pytest.raises(ValueError, match="no conflict"):
        limits(clock).run(step)
    assert step.calls == 1


def test_a_conflict_that_is_not_worth_another_attempt_leaves_as_it_is(clock: ManualClock) -> None:
    step = Step(100, clock)
    with pytest.raises(Conflict):
        limits(clock).run(step, on=Conflict, when=lambda conflict: conflict.key != KEY)
    assert step.calls == 1


def test_the_usual_limits_end_within_seconds(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.storage.table.retry.time.sleep", clock.sleep)
    step = Step(100, clock)
    with pytest.raises(RetriesExhausted):
        retry(step)
    assert step.calls == RETRY.attempts
    assert sum(clock.pauses) < 5
