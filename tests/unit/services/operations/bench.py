"""Operations in one table, a clock that stands still, and workers that run a task which counts its steps."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from app.engines.table_queue import TableQueue
from app.errors import OperationActive
from app.services.operations.runner import OperationRunner, Task, announce
from app.storage.operations.operations import SUCCEEDED, Operation, Operations
from app.storage.table.ports import Key, Table
from tests.support.clock import ManualClock
from tests.support.faulty_engine import Faults, FaultyTable


class CountingTask(Task):
    """A task of `steps` steps. It records the steps that it completed. `before_step` may raise."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.completed: list[tuple[str, int]] = []
        self.before_step: Callable[[Operation], None] = lambda _: None

    def step(self, operation: Operation) -> Operation:
        number = operation.checkpoint.get("at", 0) + 1
        self.before_step(operation)
        self.completed.append((operation.id, number))
        status = SUCCEEDED if number == self.steps else operation.status
        return replace(operation, checkpoint={"at": number}, percent=100 * number // self.steps, status=status)


class Bench:
    """The operations of one table. Each call of `worker` makes another worker process."""

    def __init__(self, table: Table) -> None:
        self.faults = Faults()
        self.table: Table = FaultyTable(table, self.faults)
        self.clock = ManualClock()
        self.operations = Operations(self.table, self.clock)
        self.queue = TableQueue(self.table, now=self.clock)
        self.task = CountingTask(3)

    def worker(self, **tasks: CountingTask) -> OperationRunner:
        return OperationRunner(self.operations, self.queue, tasks or {"reindex": self.task}, monotonic=self.clock)

    def start(self, kind: str = "reindex", *, announced: bool = True) -> str:
        """Start an exclusive operation and return its id."""
        operation = self.operations.start(kind, {"asked": 1}, exclusive=True)
        if announced:
            announce(self.queue, operation.id)
        return operation.id

    def get(self, operation: str) -> Operation:
        found = self.operations.get(operation)
        assert found is not None
        return found

    def is_active(self, kind: str = "reindex") -> bool:
        """Whether an exclusive operation of this type blocks the next one."""
        try:
            self.operations.refuse_if_active(kind)
        except OperationActive:
            return True
        return False

    def succeeded(self, operation: str) -> bool:
        """Whether an operation succeeded and left only its record in the table."""
        open_items = [*self.table.query("operations/open"), *self.table.query("operations/active")]
        lease = self.table.get(Key(f"operation/{operation}", "lease"))
        return self.get(operation).status == SUCCEEDED and not open_items and not lease


def run_until_idle(worker: OperationRunner) -> None:
    while worker.run_once():
        pass
