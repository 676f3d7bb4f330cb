"""The line of the worker that says what waits for it."""

from __future__ import annotations

from typing import cast

import pytest
from structlog.testing import capture_logs

from app.bootstrap import build_services
from app.bootstrap.engines import Engine
from app.services.backlog import Backlog, Waiting
from app.services.backlog_report import EVENT, INTERVAL_SECONDS, BacklogReport
from app.settings import Settings
from tests.support.clock import ManualClock


class KnownBacklog:
    """A backlog that a test sets."""

    def __init__(self, waiting: Waiting | None) -> None:
        self.waiting = waiting

    def current(self) -> Waiting | None:
        return self.waiting


def lines(waiting: Waiting | None, *, seconds: list[float]) -> list[dict[str, object]]:
    """Return the lines of a report that runs at these times."""
    clock = ManualClock()
    report = BacklogReport(cast(Backlog, KnownBacklog(waiting)), monotonic=clock)
    with capture_logs() as logged:
        for now in seconds:
            clock.now = now
            assert report.run_once() is False
    return [dict(each) for each in logged if each["event"] == EVENT]


def test_a_line_has_what_waits() -> None:
    waiting = Waiting(sweep_age=12.5, queue_age=0.0, feed_lag=3)
    (line,) = lines(waiting, seconds=[0])
    assert {name: line[name] for name in waiting._fields} == waiting._asdict()


def test_there_is_one_line_a_minute() -> None:
    waiting = Waiting(sweep_age=0.0, queue_age=0.0, feed_lag=0)
    times = [0, 1, INTERVAL_SECONDS - 1, INTERVAL_SECONDS, INTERVAL_SECONDS + 1, 5 * INTERVAL_SECONDS]
    assert len(lines(waiting, seconds=times)) == 3


def test_a_table_that_does_not_answer_gives_a_line_without_numbers() -> None:
    (line,) = lines(None, seconds=[0])
    assert line == {"event": EVENT, "log_level": "info"}


@pytest.mark.parametrize(("settings", "expected"), [("embedded", False), ("moto", True)], indirect=["settings"])
def test_the_worker_of_aws_writes_it(settings: Settings, engine: Engine, expected: bool) -> None:
    steps = build_services(settings, engine).background
    assert any(step.__qualname__ == "BacklogReport.run_once" for step in steps) is expected
