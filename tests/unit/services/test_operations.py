"""The runner: every operation is brought to its end, whatever becomes of workers, messages and steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from app.engines.embedded.queue import TableQueue
from app.engines.embedded.sqlite import SqliteTable
from app.errors import Conflict, OperationActive, StorageUnavailable
from app.services.operations import runner as service
from app.services.operations.purge import Purge
from app.services.operations.runner import OperationDirectory, OperationRunner, Task, announce
from app.storage.operations.operations import FAILED, NOT_STARTED, RUNNING, SUCCEEDED, Operation, Operations
from app.storage.table.ports import Absent, Item, Key, Put, Table


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Count(Task):
    """A task of `steps` steps, which may be told to fail before or after one."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.taken: list[tuple[str, int]] = []
        self.fail: Callable[[Operation], None] = lambda _: None

    def step(self, operation: Operation) -> Operation:
        at = operation.checkpoint.get("at", 0) + 1
        self.fail(operation)
        self.taken.append((operation.id, at))
        status = SUCCEEDED if at == self.steps else operation.status
        return replace(operation, checkpoint={"at": at}, percent=100 * at // self.steps, status=status)


class Killed(BaseException):
    """The worker's death."""


class Bench:
    """Operations of one table, and workers."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.clock = Clock()
        self.operations = Operations(table, self.clock)
        self.queue = TableQueue(table, now=self.clock)
        self.task = Count(3)

    def worker(self, **tasks: Count) -> OperationRunner:
        return OperationRunner(self.operations, self.queue, tasks or {"reindex": self.task}, monotonic=self.clock)

    def start(self, kind: str = "reindex", *, announced: bool = True) -> str:
        operation = self.operations.start(kind, {"asked": 1}, exclusive=True)
        if announced:
            announce(self.queue, operation.id)
        return operation.id

    def get(self, operation: str) -> Operation:
        found = self.operations.get(operation)
        assert found is not None
        return found

    def is_active(self, kind: str = "reindex") -> bool:
        try:
            self.operations.refuse_if_active(kind)
        except OperationActive:
            return True
        return False

    def ended(self, operation: str) -> bool:
        """Whether an operation succeeded and left nothing behind but its record."""
        open_items = [*self.table.query("operations/open"), *self.table.query("operations/active")]
        leased = self.table.get(Key(f"operation/{operation}", "lease"))
        return self.get(operation).status == SUCCEEDED and not open_items and not leased


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    table = SqliteTable(tmp_path / "index.db")
    yield Bench(table)
    table.close()


def drain(worker: OperationRunner) -> None:
    while worker.run_once():
        pass


def test_an_announced_operation_is_taken_step_by_step(bench: Bench) -> None:
    operation, worker = bench.start(), bench.worker()
    assert bench.get(operation).status == NOT_STARTED
    assert worker.run_once()
    assert (bench.get(operation).status, bench.get(operation).percent) == (RUNNING, 33)
    drain(worker)
    assert bench.task.taken == [(operation, 1), (operation, 2), (operation, 3)]
    assert bench.ended(operation)
    assert bench.table.count("queue") == 0


def test_a_lost_message_is_made_up_for_by_looking(bench: Bench) -> None:
    worker = bench.worker()
    drain(worker)
    operation = bench.start(announced=False)
    drain(worker)
    assert bench.get(operation).status == NOT_STARTED
    bench.clock.now += service.SCAN_SECONDS
    drain(worker)
    assert bench.ended(operation)


def test_a_doubled_message_changes_nothing(bench: Bench) -> None:
    operation = bench.start()
    bench.queue.send(operation)
    one, other = bench.worker(), bench.worker()
    one.run_once()
    other.run_once()
    drain(one)
    drain(other)
    bench.queue.send(operation)
    bench.queue.send("0" * 32)
    drain(other)
    assert len(bench.task.taken) == 3
    assert bench.table.count("queue") == 0


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("announced", [True, False])
def test_a_dead_workers_operation_goes_on_elsewhere(bench: Bench, at: int, announced: bool) -> None:
    operation = bench.start(announced=announced)
    dead = bench.worker()
    for _ in range(at - 1):
        dead.run_once()
    bench.operations = Operations(bench.table, bench.clock)  # the lease stays with the dead
    holder = bench.worker()
    if at == 1:
        assert bench.operations.claim(operation, "dead", service.LEASE_SECONDS)
    drain(holder)
    assert not bench.ended(operation), "the lease is still live"
    assert bench.is_active()
    bench.clock.now += service.LEASE_SECONDS
    drain(holder)
    assert bench.ended(operation)
    assert [step for _, step in bench.task.taken] == [1, 2, 3]
    drain(dead)
    assert len(bench.task.taken) in (3, 4), "at most one step is taken by a worker that lost its lease"
    assert bench.ended(operation)


def test_a_worker_that_lost_its_lease_cannot_write(bench: Bench) -> None:
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
    assert bench.ended(operation)


def test_a_step_that_fails_is_tried_again_after_a_rest(bench: Bench) -> None:
    operation, worker = bench.start(), bench.worker()
    failing = [True]

    def fail(_: Operation) -> None:
        if failing[0]:
            raise StorageUnavailable

    bench.task.fail = fail
    with pytest.raises(StorageUnavailable):
        worker.run_once()
    assert bench.get(operation).status == NOT_STARTED
    assert bench.is_active()
    failing[0] = False
    drain(worker)
    assert not bench.task.taken, "not before the rest is over"
    bench.clock.now += service.SCAN_SECONDS
    drain(worker)
    assert bench.ended(operation)


def test_what_gets_nowhere_time_after_time_fails_and_makes_room(bench: Bench) -> None:
    operation, worker = bench.start(), bench.worker()

    def fail(_: Operation) -> None:
        raise RuntimeError("a defect")

    bench.task.fail = fail
    failures = 0
    for _ in range(200):
        bench.clock.now += 60
        try:
            worker.run_once()
        except RuntimeError:
            failures += 1
    assert failures == service.MAX_ATTEMPTS
    assert bench.get(operation).status == FAILED
    assert not bench.is_active()


@pytest.mark.parametrize("orderly", [True, False])
def test_a_task_gives_up_what_gets_nowhere_as_it_sees_fit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, orderly: bool
) -> None:
    operation, worker = bench.start(), bench.worker()

    def fail(operation: Operation) -> None:
        if not operation.checkpoint:
            raise RuntimeError("a defect")

    def pass_over(operation: Operation) -> Operation:
        if not orderly:
            raise RuntimeError("another defect")
        return replace(operation, checkpoint={"at": 1})

    bench.task.fail = fail
    monkeypatch.setattr(bench.task, "give_up", pass_over)
    for _ in range(service.MAX_ATTEMPTS + 3):
        with suppress(RuntimeError):
            drain(worker)
        bench.clock.now += 600
    assert [at for _, at in bench.task.taken] == ([2, 3] if orderly else [])
    assert bench.get(operation).status == (SUCCEEDED if orderly else FAILED)
    assert not bench.is_active()


def test_getting_on_makes_up_for_failures_before(bench: Bench) -> None:
    bench.task.steps = 30
    operation, worker = bench.start(), bench.worker()
    turns = iter(range(1000))

    def fail(_: Operation) -> None:
        if next(turns) % 3:
            raise StorageUnavailable

    bench.task.fail = fail
    for _ in range(200):
        bench.clock.now += service.SCAN_SECONDS
        try:
            worker.run_once()
        except StorageUnavailable:
            continue
    assert bench.ended(operation)


def test_operations_take_turns(bench: Bench) -> None:
    tasks = {"reindex": Count(3), "export": Count(3), "update": Count(3)}
    taken: list[tuple[str, int]] = []
    for task in tasks.values():
        task.taken = taken
    first, second, third = (bench.start(kind) for kind in tasks)
    drain(bench.worker(**tasks))
    assert taken.index((second, 1)) < taken.index((first, 3))
    assert taken.index((third, 1)) < taken.index((second, 3))
    assert all(bench.ended(each) for each in (first, second, third))


def test_a_worker_holds_only_so_many(bench: Bench) -> None:
    bench.task.steps = 20
    for _ in range(service.MAX_HELD + 3):
        operation = bench.operations.start("reindex", {})
        announce(bench.queue, operation.id)
    worker = bench.worker()
    for _ in range(service.MAX_HELD + 2):
        worker.run_once()
    assert len({operation for operation, _ in bench.task.taken}) <= service.MAX_HELD
    drain(worker)
    assert len(bench.task.taken) == 20 * (service.MAX_HELD + 3)


def test_those_that_wait_get_a_place_of_those_that_got_on(bench: Bench) -> None:
    """However long the operations in hand take, a short one is not kept waiting for their end."""
    long, short = Count(10_000), Count(1)
    worker = bench.worker(export=long, reindex=short)
    waiting = [bench.operations.start("export", {}).id for _ in range(2 * service.MAX_HELD)]
    operation = bench.start()
    for _ in range(10 * service.MAX_HELD):
        bench.clock.now += service.SCAN_SECONDS
        worker.run_once()
    assert bench.get(operation).status == SUCCEEDED
    assert {each for each, _ in long.taken} == set(waiting), "each had its turn"


def test_none_gives_up_its_place_before_it_got_on(bench: Bench) -> None:
    """A claim without a step counts as an attempt; too many of them would fail it."""
    task = Count(2)
    worker = bench.worker(export=task)
    waiting = [bench.operations.start("export", {}).id for _ in range(5 * service.MAX_HELD)]
    for _ in range(20 * service.MAX_HELD):
        bench.clock.now += service.SCAN_SECONDS
        worker.run_once()
    assert {bench.get(each).status for each in waiting} == {SUCCEEDED}
    assert len(task.taken) == 2 * len(waiting)


def test_a_worker_that_stops_hands_over_what_it_has(bench: Bench) -> None:
    operation, worker = bench.start(), bench.worker()
    worker.run_once()
    worker.hand_over()
    drain(bench.worker())
    assert bench.ended(operation)
    assert [step for _, step in bench.task.taken] == [1, 2, 3]
    assert bench.table.count("queue") == 0


def test_a_worker_hands_over_nothing_that_another_has_by_now(bench: Bench) -> None:
    operation, worker = bench.start(), bench.worker()
    worker.run_once()
    bench.clock.now += service.LEASE_SECONDS
    assert bench.operations.claim(operation, "other", service.LEASE_SECONDS)
    worker.hand_over()
    drain(bench.worker())
    assert len(bench.task.taken) == 1


def test_a_queue_that_is_out_of_order_keeps_nothing_from_its_end(bench: Bench) -> None:
    class Broken(TableQueue):
        def receive(self, wait: float = 0) -> None:
            raise StorageUnavailable

    operation = bench.start(announced=False)
    bench.queue = Broken(bench.table, now=bench.clock)
    worker = bench.worker()
    for _ in range(bench.task.steps):
        with pytest.raises(StorageUnavailable):
            worker.run_once()
    assert bench.ended(operation)


def test_a_type_that_is_unknown_here_is_left_to_others(bench: Bench) -> None:
    operation = bench.start("novelty")
    drain(bench.worker())
    assert bench.get(operation).status == NOT_STARTED
    assert bench.operations.claim(operation, "newer", 60)


def test_leases_and_messages_are_kept_while_a_step_takes_long(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "BEAT_SECONDS", 0.001)
    operation, worker = bench.start(), bench.worker()
    extended = threading.Event()
    extend = bench.operations.extend

    def seen(*given: object) -> None:
        extend(*given)  # type: ignore[arg-type]  # as it was called
        extended.set()

    monkeypatch.setattr(bench.operations, "extend", seen)

    def long(_: Operation) -> None:
        bench.clock.now += service.LEASE_SECONDS - 1
        extended.clear()
        assert extended.wait(10)
        bench.clock.now += 2
        assert bench.operations.claim(operation, "other", 60) is None

    bench.task.fail = long
    worker.run_once()
    assert bench.get(operation).checkpoint == {"at": 1}


@pytest.mark.parametrize("write", range(8))
def test_a_kill_after_any_write_is_made_good(bench: Bench, monkeypatch: pytest.MonkeyPatch, write: int) -> None:
    """Every write of the runner and of the queue, the start's included, may be the worker's last."""
    operation, writes = bench.start(), [0]
    original = bench.table.write

    def dying(*changes: object) -> None:
        original(*changes)  # type: ignore[arg-type]  # as it was called
        writes[0] += 1
        if writes[0] == write + 1:
            raise Killed

    monkeypatch.setattr(bench.table, "write", dying)
    worker = bench.worker()
    monkeypatch.setattr(bench.operations, "release", lambda *_: None)  # the dead release nothing
    try:
        drain(worker)
    except Killed:
        monkeypatch.undo()
        bench.clock.now += 3600
        drain(bench.worker())
    assert bench.ended(operation)
    assert not bench.is_active()


# --- one at a time, and what is kept ----------------------------------------------------------------------------------


def test_one_at_a_time_of_a_type_and_nothing_of_the_refused_stays(bench: Bench) -> None:
    first = bench.start()
    with pytest.raises(OperationActive) as refused:
        bench.operations.start("reindex", {}, exclusive=True, named="f" * 32)
    assert (refused.value.id, refused.value.type) == (first, "reindex")
    assert bench.operations.get("f" * 32) is None
    bench.start("update")
    assert bench.operations.start("reindex", {}).id
    drain(bench.worker())
    assert bench.start() != first


def test_what_starts_with_an_operation_is_written_with_it_or_not_at_all(bench: Bench) -> None:
    bench.table.write(Put(_item("taken")))
    with pytest.raises(Conflict):
        bench.operations.start(
            "reindex", {}, exclusive=True, alongside=lambda _: [Put(_item("new")), Put(_item("taken"), Absent())]
        )
    assert bench.table.get(Key("test", "new")) is None
    assert not bench.is_active()
    bench.operations.start("reindex", {}, alongside=lambda operation: [Put(_item(operation.id))])
    assert bench.table.count("test") == 2


def _item(name: str) -> Item:
    return Item(Key("test", name), {})


def test_ended_operations_are_forgotten_after_their_time(bench: Bench) -> None:
    done = bench.start()
    drain(bench.worker())
    failed = bench.start()
    claimed = bench.operations.claim(failed, "x", 60)
    assert claimed
    bench.operations.save(replace(claimed, status=FAILED), "x", 60)
    bench.clock.now += 1
    under_way = bench.start()
    purge = Purge(bench.operations, succeeded=30, failed=90, monotonic=bench.clock)
    for days, kept in ((29.9, {done, failed}), (30.1, {failed}), (89.9, {failed}), (90.1, set())):
        bench.clock.now = Clock().now + days * 86_400
        while purge.run_once():
            pass
        assert {each for each in (done, failed) if bench.operations.get(each)} == kept
    assert bench.operations.get(under_way)
    assert not list(bench.table.query("operations/ended/succeeded"))
    assert not list(bench.table.query("operations/ended/failed"))


def test_callers_see_only_what_is_theirs(bench: Bench) -> None:
    directory = OperationDirectory(bench.operations)
    mine = bench.start()
    own = bench.operations.start("tag-removal", {})
    assert directory.find(mine) == bench.get(mine)
    assert directory.find(own.id) is None
    assert directory.find("0" * 32) is None


def test_a_queue_that_fails_does_not_fail_the_start(bench: Bench) -> None:
    class Broken(TableQueue):
        def send(self, body: str, delay: int = 0) -> None:
            raise StorageUnavailable

    announce(Broken(bench.table), "x")
