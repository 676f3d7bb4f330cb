"""Supervision of server and worker, also after kill -9. An end of file on the pipe shows the end of all processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

CHILD = """
import os, sys, threading
from app.entry.supervision import follow_parent
follow_parent()
os.write(1, f"{sys.argv[1]} {os.getpid()}\\n".encode())
threading.Event().wait()
"""

PARENT = f"""
import sys
from app import logs
from app.entry.supervision import Supervisor
logs.configure("info", "json")
child = [sys.executable, "-c", {CHILD!r}]
sys.exit(Supervisor([*child, "server"], [*child, "worker"], between_starts=0).run())
"""


class Family:
    """A supervisor with its two children. `pids` has the children that have started."""

    def __init__(self) -> None:
        self.parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
        self.pids: dict[str, int] = {}

    def meet(self) -> str:
        """Wait until one child has printed its name."""
        assert self.parent.stdout is not None
        name, pid = self.parent.stdout.readline().split()
        self.pids[name] = int(pid)
        return name

    def all_gone(self) -> bool:
        """Wait until no process has the pipe open."""
        assert self.parent.stdout is not None
        return self.parent.stdout.read() == ""


@pytest.fixture
def family() -> Iterator[Family]:
    family = Family()
    try:
        assert {family.meet(), family.meet()} == {"server", "worker"}
        yield family
    finally:
        for pid in (*family.pids.values(), family.parent.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        family.parent.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_both(family: Family, number: signal.Signals) -> None:
    family.parent.send_signal(number)
    assert family.all_gone()
    assert family.parent.wait() == 1  # the child here dies of the signal; gunicorn ends with 0


def test_a_dead_worker_is_replaced(family: Family) -> None:
    first = family.pids["worker"]
    os.kill(first, signal.SIGKILL)
    assert family.meet() == "worker"
    assert family.pids["worker"] != first


def test_when_the_server_is_killed_the_worker_stops(family: Family) -> None:
    os.kill(family.pids["server"], signal.SIGKILL)
    assert family.all_gone()
    assert family.parent.wait() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_when_the_supervisor_is_killed_both_children_stop(family: Family) -> None:
    family.parent.kill()
    assert family.all_gone()


def test_the_exit_code_is_the_servers() -> None:
    server, worker = [sys.executable, "-c", "raise SystemExit(3)"], [sys.executable, "-c", ""]
    script = (
        f"import sys; from app.entry.supervision import Supervisor; sys.exit(Supervisor({server!r}, {worker!r}).run())"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 3
