"""Audit trails for tests: lines of several processes, mixed."""

from __future__ import annotations

from collections.abc import Callable

from app.services.audit.call import AuditedCall
from app.services.audit.trail import AuditTrail


def write_lines(
    append: Callable[[bytes], None], *, processes: int = 3, calls: int = 4, key: bytes | None = None
) -> None:
    """Write calls of several processes in turn. Each process writes `start`, two lines for each call, and `stop`."""
    trails = [AuditTrail(append, key=key) for _ in range(processes)]
    for number in range(calls):
        for trail in trails:
            call = AuditedCall(event="query", caller={"subject": "Ä"}, address="10.1.2.3", request_id=str(number))
            trail.executing(call)
            call.count = number
            trail.executed(call, 200)
    for trail in trails:
        trail.stop()


def mixed_lines(*, processes: int = 3, calls: int = 4, key: bytes | None = None) -> list[bytes]:
    """Return the lines of such a trail."""
    lines: list[bytes] = []
    write_lines(lines.append, processes=processes, calls=calls, key=key)
    return lines
