"""Work slots: how many requests work at the same time, and which of the others is next."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from app.entry.work_slots import ProcessSlots, WorkSlots
from tests.support.waiting import wait_until

LONG = 60.0


def test_a_request_waits_until_another_one_ends() -> None:
    slots = WorkSlots(1, queue=1)
    assert slots.begin()
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(slots.begin, LONG)
        wait_until(lambda: len(slots.waiting) == 1)
        assert slots.waiting
        slots.give()
        assert second.result(LONG)
    assert not slots.waiting
    assert not slots.begin(0.0)


def test_a_request_is_refused_at_once_if_the_queue_is_full() -> None:
    slots = WorkSlots(1, queue=0)
    assert slots.begin(LONG)
    assert not slots.begin(LONG)
    slots.give()
    assert slots.begin(LONG)


def test_a_request_that_is_refused_after_some_time_keeps_no_slot() -> None:
    slots = WorkSlots(1, queue=1)
    assert slots.begin()
    assert not slots.begin(0.01)
    slots.give()
    assert slots.begin(0.0)
    assert not slots.waiting


def test_requests_get_slots_in_the_order_of_arrival() -> None:
    slots = WorkSlots(1, queue=3)
    assert slots.begin()
    order: list[int] = []

    def work(number: int) -> None:
        assert slots.begin(LONG)
        order.append(number)
        slots.give()

    with ThreadPoolExecutor(3) as pool:
        running: list[Future[None]] = []
        for number in range(3):
            running.append(pool.submit(work, number))
            wait_until(lambda count=number + 1: len(slots.waiting) == count)  # type: ignore[misc]  # a default has no type
        slots.give()
        for each in running:
            each.result(LONG)
    assert order == [0, 1, 2]


def test_a_request_that_gave_its_slot_away_goes_on_also_if_none_becomes_free() -> None:
    slots = WorkSlots(1, queue=0)
    assert slots.begin()
    slots.resume(0.01)  # two requests work now
    slots.give()
    assert not slots.begin(0.0)
    slots.give()
    assert slots.begin(0.0)


def test_health_checks_and_metrics_have_slots_of_their_own() -> None:
    slots = ProcessSlots(1)
    most, monitoring = slots.of("/v2/studies"), slots.of("/metrics")
    assert most is not None
    assert monitoring is not None
    assert most is not monitoring
    assert [slots.of(path) for path in ("/healthy", "/", "/v2/metrics")] == [most] * 3
    assert [slots.of(path) for path in ("/health/check", "/Health/Ready", "/METRICS")] == [monitoring] * 3
    assert slots.of("/HEALTH/live") is None
