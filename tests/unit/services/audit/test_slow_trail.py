"""A trail whose lines are written slowly, or not at all."""

from __future__ import annotations

import pytest

from app.errors import AuditUnavailable
from app.services.audit import trail as trail_module
from app.services.audit.call import AuditedCall
from app.services.audit.trail import AuditTrail
from app.storage.table.deadline import Deadline, within


def test_a_line_that_is_being_written_is_no_failure() -> None:
    checks: list[bytes] = []

    def append(line: bytes) -> None:
        trail.check()
        checks.append(line)

    trail = AuditTrail(append)
    trail.start()
    trail.executing(AuditedCall(event="store"))
    assert len(checks) == 2


def test_a_call_waits_for_the_line_of_another_one_until_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail_module, "SHORTEST_WAIT_SECONDS", 0.0)
    written: list[bytes] = []

    def append(line: bytes) -> None:
        with within(Deadline(0)), pytest.raises(AuditUnavailable):
            trail.executing(AuditedCall(event="query"))
        with pytest.raises(AuditUnavailable):
            trail.check()
        written.append(line)

    trail = AuditTrail(append)
    trail.executing(AuditedCall(event="store"))
    trail.check()
    assert [b'"query"' in line for line in written] == [False, False]
