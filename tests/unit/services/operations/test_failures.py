"""Operations end although workers are killed and steps fail."""

from __future__ import annotations

from contextlib import suppress

import pytest
from msgspec.structs import replace

from app.errors import Conflict, StorageUnavailable
from app.services.operations import runner
from app.storage.operations.operations import FAILED, NOT_STARTED, RUNNING, SUCCEEDED, Operation, Operations
from tests.support.faults import AFTER, Killed, Rule, kill
from tests.unit.services.operations.bench import Bench, run_until_idle


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("announced", [True, False])
def test_operation_of_a_killed_worker_continues_elsewhere(bench: Bench, step: int, announced: bool) -> None:
    operation = bench.start(announced=announced)
    killed = bench.worker()
    for _ in range(step - 1):
        killed.run_once()
    bench.operations = Operations(bench.table, bench.clock)
    successor = bench.worker()
    if step == 1:
        assert bench.operations.claim(operation, "killed", runner.LEASE_SECONDS)
    run_until_idle(successor)
    assert not bench.succeeded(operation), "the lease of the killed worker is still live"
    assert bench.is_active()
    bench.clock.now += runner.LEASE_SECONDS
    run_until_idle(successor)
    assert bench.succeeded(operation)
    assert [number for _, number in bench.task.completed] == [1, 2, 3]
    run_until_idle(killed)
    assert len(bench.task.completed) in (3, 4), "a worker without a lease completes at most one step"
    assert bench.succeeded(operation)


def test_worker_without_the_lease_cannot_write(bench: Bench) -> None:
    operation = bench.start()
    slow = bench.operations.claim(operation, "slow", 60)
    assert slow
    bench.clock.now += 60
    quick = bench.operations.claim(operation, "quick", 60)
    assert quick
    for status in (RUNNING, SUCCEEDED):
        with pytest.raises(Conflict):
            bench.operations.save(replace(slow, status=status), "slow", 60)
    with pytest.raises(Conflict):
        bench.operations.extend(slow, "slow", 60)
    bench.operations.save(replace(quick, status=SUCCEEDED), "quick", 60)
    with pytest.raises(Conflict):
        bench.operations.save(replace(quick, status=RUNNING), "quick", 60)
    assert bench.succeeded(operation)


def test_failed_step_is_tried_again_after_a_delay(bench: Bench) -> None:
    operation, worker = bench.start(), bench.worker()
    failing = [True]

    def fail(_: Operation) -> None:
        if failing[0]:
            raise StorageUnavailable

    bench.task.before_step = fail
    with pytest.raises(StorageUnavailable):
        worker.run_once()
    assert bench.get(operation).status == NOT_STARTED
    assert bench.is_active()
    failing[0] = False
    run_until_idle(worker)
    assert not bench.task.completed, "the delay is not over"
    bench.clock.now += runner.SCAN_SECONDS
    run_until_idle(worker)
    assert bench.succeeded(operation)


def test_operation_fails_after_too_many_attempts(bench: Bench) -> None:
    operation, worker = bench.start(), bench.worker()

    def fail(_: Operation) -> None:
        raise RuntimeError("a defect")

    bench.task.before_step = fail
    failures = 0
    for _ in range(200):
        bench.clock.now += 60
        try:
            worker.run_once()
        except RuntimeError:
            failures += 1
    assert failures == runner.MAX_ATTEMPTS
    assert bench.get(operation).status == FAILED
    assert not bench.is_active()


@pytest.mark.parametrize("give_up_works", [True, False])
def test_task_decides_what_becomes_of_an_operation_it_gives_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, give_up_works: bool
) -> None:
    operation, worker = bench.start(), bench.worker()

    def fail_first_step(operation: Operation) -> None:
        if not operation.checkpoint:
            raise RuntimeError("a defect")

    def skip_first_step(operation: Operation) -> Operation:
        if not give_up_works:
            raise RuntimeError("another defect")
        return replace(operation, checkpoint={"at": 1})

    bench.task.before_step = fail_first_step
    monkeypatch.setattr(bench.task, "give_up", skip_first_step)
    for _ in range(runner.MAX_ATTEMPTS + 3):
        with suppress(RuntimeError):
            run_until_idle(worker)
        bench.clock.now += 600
    assert [number for _, number in bench.task.completed] == ([2, 3] if give_up_works else [])
    assert bench.get(operation).status == (SUCCEEDED if give_up_works else FAILED)
    assert not bench.is_active()


def test_completed_step_resets_the_count_of_attempts(bench: Bench) -> None:
    bench.task.steps = 30
    operation, worker = bench.start(), bench.worker()
    turns = iter(range(1000))

    def fail_two_of_three(_: Operation) -> None:
        if next(turns) % 3:
            raise StorageUnavailable

    bench.task.before_step = fail_two_of_three
    for _ in range(200):
        bench.clock.now += runner.SCAN_SECONDS
        try:
            worker.run_once()
        except StorageUnavailable:
            continue
    assert bench.succeeded(operation)


@pytest.mark.parametrize("write", range(8))
def test_kill_after_any_write(bench: Bench, write: int) -> None:
    """Each write of the runner and of the queue may be the last one of the worker."""
    operation = bench.start()
    worker = bench.worker()
    bench.faults.add(Rule(kill(), operation="table.write", stage=AFTER, nth=write + 1))
    try:
        run_until_idle(worker)
    except Killed:
        bench.faults.clear()
        bench.clock.now += 3600
        run_until_idle(bench.worker())
    assert bench.succeeded(operation)
    assert not bench.is_active()
