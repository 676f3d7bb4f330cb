"""The lines of an audit trail that a test lets the service write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Line = dict[str, Any]


class AuditLog:
    """An audit file. `lines` returns what was written since the last call, without the lines `start`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def lines(self) -> list[Line]:
        """Return the new lines, and assert that each has the members that every line has."""
        whole = self.path.read_bytes()
        new, self._read = whole[self._read :], len(whole)
        lines = [json.loads(each) for each in new.splitlines()]
        for line in lines:
            assert line["eventType"] == "AuditEvent"
            assert line["time"].endswith("Z")
            assert len(line["digest"]) == 64
        return [line for line in lines if line["event"] != "start"]

    def phases(self) -> list[tuple[Any, ...]]:
        """Return event, phase and status of the new lines. The status of a line `Executing` is None."""
        return [(line["event"], line["phase"], line.get("status")) for line in self.lines()]
