"""How long a request may wait for the data store."""

from __future__ import annotations

import math
from threading import Lock

import pytest

from app.errors import Conflict, StorageUnavailable
from app.storage.table import deadline
from app.storage.table.deadline import Deadline, DeadlinePassed, within
from app.storage.table.retry import Retry
from app.storage.table.threads import ContextThreads
from tests.support.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000)


def conflict() -> None:
    raise Conflict(None)


def test_without_a_request_there_is_no_deadline() -> None:
    deadline.renew()
    assert deadline.seconds_left() == math.inf
    assert not deadline.has_passed()
    assert deadline.lock_timeout() == -1


def test_the_time_ends_and_begins_anew_when_bytes_move(clock: ManualClock) -> None:
    with within(Deadline(60, clock)):
        clock.now += 59
        assert (deadline.seconds_left(), deadline.lock_timeout(), deadline.has_passed()) == (1, 1, False)
        deadline.renew()
        clock.now += 60
        assert (deadline.seconds_left(), deadline.lock_timeout(), deadline.has_passed()) == (0, 0, True)
        clock.now += 1
        assert deadline.lock_timeout() == 0
    assert not deadline.has_passed()


def test_a_repetition_stops_at_the_deadline(clock: ManualClock) -> None:
    calls = []
    limits = Retry(attempts=1000, seconds=1000, first_pause=8, longest_pause=8, sleep=clock.sleep, monotonic=clock)

    def act() -> None:
        calls.append(clock.now)
        raise Conflict(None)

    with within(Deadline(20, clock)), pytest.raises(DeadlinePassed) as raised:
        limits.run(act)
    assert isinstance(raised.value, StorageUnavailable)
    assert isinstance(raised.value.__cause__, Conflict)
    assert len(calls) > 1
    assert clock.now < 1020, "no pause ends after the deadline"


def test_the_first_attempt_is_always_made(clock: ManualClock) -> None:
    with within(Deadline(0, clock)):
        assert Retry().run(lambda: "done") == "done"
        with pytest.raises(DeadlinePassed):
            Retry().run(conflict)


def test_the_threads_of_a_pool_have_the_deadline_of_their_caller(clock: ManualClock) -> None:
    with ContextThreads(1) as threads:
        with within(Deadline(60, clock)):
            first = threads.submit(deadline.seconds_left)
            threads.submit(deadline.renew)
        second = threads.submit(deadline.seconds_left)
        assert (first.result(), second.result()) == (60, math.inf)


def test_a_lock_is_awaited_until_the_deadline(clock: ManualClock) -> None:
    lock = Lock()
    with within(Deadline(60, clock)):
        with deadline.locked(lock):
            assert lock.locked()
            clock.now += 60
            with pytest.raises(DeadlinePassed), deadline.locked(lock):
                pytest.fail("another thread holds the lock")
        assert not lock.locked()
