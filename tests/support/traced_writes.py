"""What is written to files, and whether it passes the page cache."""

from __future__ import annotations

import fcntl
import os

import pytest


def is_direct(descriptor: int) -> bool:
    """Return whether writes to a descriptor pass the page cache."""
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)


def traced_writes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int]]:
    """Return a list that grows with each `os.write`: whether it was direct, and how many bytes it wrote."""
    made: list[tuple[bool, int]] = []
    write = os.write

    def traced(descriptor: int, data: memoryview) -> int:
        direct = is_direct(descriptor)
        written = write(descriptor, data)
        made.append((direct, written))
        return written

    monkeypatch.setattr(os, "write", traced)
    return made
