"""When a result of the health checks is used, and how long a process stays ready."""

from __future__ import annotations

import pytest

from app.errors import StorageUnavailable
from app.services.health import Health
from app.services.health_report import FRESH_SECONDS, LATELY_SECONDS, HealthReport


class Backends:
    """A table and a queue that fail on command, and a clock."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.now = 1000.0
        self.asked = 0
        health = Health(
            required={"table": lambda: self._ask("table")},
            optional={"queue": lambda: self._ask("queue")},
            lost_objects=lambda: 0,
        )
        self.report = HealthReport(health, clock=lambda: self.now)

    def _ask(self, name: str) -> None:
        self.asked += name == "table"
        if name in self.failing:
            raise StorageUnavailable


@pytest.mark.parametrize(
    ("failing", "overall"),
    [(set(), "Healthy"), ({"queue"}, "Degraded"), ({"table"}, "Unhealthy"), ({"table", "queue"}, "Unhealthy")],
)
def test_the_worst_check_decides(failing: set[str], overall: str) -> None:
    backends = Backends()
    backends.failing = failing
    assert backends.report.current().overall == overall


def test_a_result_is_used_for_some_seconds() -> None:
    backends = Backends()
    backends.report.current()
    backends.now += FRESH_SECONDS - 0.1
    backends.report.current()
    assert backends.asked == 1
    backends.now += 0.2
    backends.report.current()
    assert backends.asked == 2


def test_a_process_stays_ready_for_some_time_after_the_last_answer() -> None:
    backends = Backends()
    assert backends.report.is_ready()

    backends.failing = {"table"}
    backends.now += LATELY_SECONDS - 1
    assert backends.report.is_ready()
    backends.now += 2
    assert not backends.report.is_ready()

    backends.failing = set()
    backends.now += FRESH_SECONDS
    assert backends.report.is_ready()
