"""The budget lets threads in while there is memory, in the order of arrival."""

from __future__ import annotations

from threading import Event, Thread

from app.services.memory_budget import MemoryBudget


def in_thread(budget: MemoryBudget, size: int, entered: list[int], leave: Event) -> Thread:
    def work() -> None:
        with budget.use(size):
            entered.append(size)
            leave.wait(60)

    thread = Thread(target=work)
    thread.start()
    return thread


def test_work_beyond_the_limit_waits_and_nothing_overtakes_it() -> None:
    budget, entered, leave = MemoryBudget(100), list[int](), Event()
    with budget.use(60):
        large = in_thread(budget, 1000, entered, leave)  # more than the limit: it waits until it is alone
        while not budget._waiting:
            pass
        small = in_thread(budget, 10, entered, leave)
        while len(budget._waiting) < 2:
            pass
        assert entered == []
    leave.set()
    large.join(60)
    small.join(60)
    assert entered == [1000, 10]
    with budget.use(100):
        assert not budget._waiting


def test_work_within_the_limit_runs_at_the_same_time_and_an_error_gives_the_memory_back() -> None:
    budget = MemoryBudget(100)
    with budget.use(50), budget.use(50):
        pass
    try:
        with budget.use(100):
            raise ValueError
    except ValueError:
        pass
    with budget.use(100):
        pass
