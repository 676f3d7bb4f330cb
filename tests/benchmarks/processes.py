"""CPU time and resident memory of a process and all its descendants, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PARENT, _USER, _SYSTEM = 1, 11, 12  # fields of /proc/PID/stat, counted from the state on


def family(pid: int) -> list[int]:
    """Return the process and its descendants that are alive."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of the processes so far, in steps of 10 ms."""
    rows = [fields for member in family(pid) if (fields := _stat(member))]
    return sum(int(fields[_USER]) + int(fields[_SYSTEM]) for fields in rows) / _TICKS


def resident(pid: int) -> float:
    """Return the resident memory in megabytes: the sum of VmRSS. Pages that processes share count several times."""
    return _memory(pid, "VmRSS")


def peak(pid: int) -> float:
    """Return the peak of the memory in megabytes since `forget_peak`: the sum of VmHWM, which is never too low."""
    return _memory(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Reset VmHWM to the current resident memory."""
    for member in family(pid):
        Path(f"/proc/{member}/clear_refs").write_text("5")


def _memory(pid: int, field: str) -> float:
    return sum(_kilobytes(member, field) for member in family(pid)) / 1_000


def _kilobytes(pid: int, field: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1.024 for line in lines if line.startswith(field + ":")), 0.0)


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
