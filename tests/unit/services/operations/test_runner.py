"""The runner claims operations, runs their steps in turn, and shares them with other workers."""

from __future__ import annotations

import threading

import pytest

from app.engines.table_queue import TableQueue
from app.errors import StorageUnavailable
from app.services.operations import runner
from app.services.operations.runner import announce
from app.storage.operations.operations import NOT_STARTED, RUNNING, SUCCEEDED, Operation
from tests.unit.services.operations.bench import Bench, CountingTask, run_until_idle

# --- the queue and the scan -------------------------------------------------------------------------------------------


def test_announced_operation_runs_step_by_step(bench: Bench) -> None:
    operation, worker = bench.start(), bench.worker()
    assert bench.get(operation).status == NOT_STARTED
    assert worker.run_once()
    assert (bench.get(operation).status, bench.get(operation).percent) == (RUNNING, 33)
    run_until_idle(worker)
    assert bench.task.completed == [(operation, 1), (operation, 2), (operation, 3)]
    assert bench.succeeded(operation)
    assert bench.table.count("queue") == 0


def test_scan_finds_operation_without_message(bench: Bench) -> None:
    worker = bench.worker()
    run_until_idle(worker)
    operation = bench.start(announced=False)
    run_until_idle(worker)
    assert bench.get(operation).status == NOT_STARTED
    bench.clock.now += runner.SCAN_SECONDS
    run_until_idle(worker)
    assert bench.succeeded(operation)


def test_doubled_message_changes_nothing(bench: Bench) -> None:
    operation = bench.start()
    bench.queue.send(operation)
    first, second = bench.worker(), bench.worker()
    first.run_once()
    second.run_once()
    run_until_idle(first)
    run_until_idle(second)
    bench.queue.send(operation)
    bench.queue.send("0" * 32)
    run_until_idle(second)
    assert len(bench.task.completed) == 3
    assert bench.table.count("queue") == 0


def test_operations_finish_while_the_queue_is_down(bench: Bench) -> None:
    class FailingQueue(TableQueue):
        def receive(self, wait: float = 0) -> None:
            raise StorageUnavailable

    operation = bench.start(announced=False)
    bench.queue = FailingQueue(bench.table, now=bench.clock)
    worker = bench.worker()
    for _ in range(bench.task.steps):
        with pytest.raises(StorageUnavailable):
            worker.run_once()
    assert bench.succeeded(operation)


def test_failing_queue_does_not_fail_the_announcement(bench: Bench) -> None:
    class FailingQueue(TableQueue):
        def send(self, body: str, delay: int = 0) -> None:
            raise StorageUnavailable

    announce(FailingQueue(bench.table), "x")


def test_unknown_type_is_left_to_other_workers(bench: Bench) -> None:
    operation = bench.start("novelty")
    run_until_idle(bench.worker())
    assert bench.get(operation).status == NOT_STARTED
    assert bench.operations.claim(operation, "newer", 60)


# --- turns and places -------------------------------------------------------------------------------------------------


def test_operations_take_turns(bench: Bench) -> None:
    tasks = {"reindex": CountingTask(3), "export": CountingTask(3), "update": CountingTask(3)}
    completed: list[tuple[str, int]] = []
    for task in tasks.values():
        task.completed = completed
    first, second, third = (bench.start(kind) for kind in tasks)
    run_until_idle(bench.worker(**tasks))
    assert completed.index((second, 1)) < completed.index((first, 3))
    assert completed.index((third, 1)) < completed.index((second, 3))
    assert all(bench.succeeded(each) for each in (first, second, third))


def test_worker_holds_a_limited_number_of_operations(bench: Bench) -> None:
    bench.task.steps = 20
    for _ in range(runner.MAX_HELD + 3):
        operation = bench.operations.start("reindex", {})
        announce(bench.queue, operation.id)
    worker = bench.worker()
    for _ in range(runner.MAX_HELD + 2):
        worker.run_once()
    assert len({operation for operation, _ in bench.task.completed}) <= runner.MAX_HELD
    run_until_idle(worker)
    assert len(bench.task.completed) == 20 * (runner.MAX_HELD + 3)


def test_waiting_operation_replaces_one_that_completed_a_step(bench: Bench) -> None:
    """A short operation does not wait for the end of long ones."""
    long, short = CountingTask(10_000), CountingTask(1)
    worker = bench.worker(export=long, reindex=short)
    waiting = [bench.operations.start("export", {}).id for _ in range(2 * runner.MAX_HELD)]
    operation = bench.start()
    for _ in range(10 * runner.MAX_HELD):
        bench.clock.now += runner.SCAN_SECONDS
        worker.run_once()
    assert bench.get(operation).status == SUCCEEDED
    assert {each for each, _ in long.completed} == set(waiting), "every operation had a turn"


def test_operation_keeps_its_place_until_it_completes_a_step(bench: Bench) -> None:
    """A claim without a step counts as a failed attempt. Too many of them fail the operation."""
    task = CountingTask(2)
    worker = bench.worker(export=task)
    waiting = [bench.operations.start("export", {}).id for _ in range(5 * runner.MAX_HELD)]
    for _ in range(20 * runner.MAX_HELD):
        bench.clock.now += runner.SCAN_SECONDS
        worker.run_once()
    assert {bench.get(each).status for each in waiting} == {SUCCEEDED}
    assert len(task.completed) == 2 * len(waiting)


# --- leases -----------------------------------------------------------------------------------------------------------


def test_stopping_worker_releases_its_leases(bench: Bench) -> None:
    operation, worker = bench.start(), bench.worker()
    worker.run_once()
    worker.release_leases()
    run_until_idle(bench.worker())
    assert bench.succeeded(operation)
    assert [step for _, step in bench.task.completed] == [1, 2, 3]
    assert bench.table.count("queue") == 0


def test_stopping_worker_does_not_release_the_lease_of_another(bench: Bench) -> None:
    operation, worker = bench.start(), bench.worker()
    worker.run_once()
    bench.clock.now += runner.LEASE_SECONDS
    assert bench.operations.claim(operation, "other", runner.LEASE_SECONDS)
    worker.release_leases()
    run_until_idle(bench.worker())
    assert len(bench.task.completed) == 1


def test_heartbeat_extends_leases_and_messages_during_a_long_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "HEARTBEAT_SECONDS", 0.001)
    operation, worker = bench.start(), bench.worker()
    extended = threading.Event()
    extend = bench.operations.extend

    def extend_and_signal(*arguments: object) -> None:
        extend(*arguments)  # type: ignore[arg-type]  # forwarded unchanged
        extended.set()

    monkeypatch.setattr(bench.operations, "extend", extend_and_signal)

    def take_long(_: Operation) -> None:
        bench.clock.now += runner.LEASE_SECONDS - 1
        for _turn in range(2):  # an extension that runs now may have read the clock before
            extended.clear()
            assert extended.wait(60)
        bench.clock.now += 2
        assert bench.operations.claim(operation, "other", 60) is None

    bench.task.before_step = take_long
    worker.run_once()
    assert bench.get(operation).checkpoint == {"at": 1}
