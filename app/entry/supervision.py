"""Runs a server and a worker. The end of the server ends both. A worker that dies is started again."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog

POLL_SECONDS: Final = 0.2
BETWEEN_STARTS_SECONDS: Final = 5.0
"""The shortest time between two starts of a worker. A worker that lived longer is replaced at once."""

WORKER_STOP_SECONDS: Final = 30.0
"""How long the worker may take to finish its step when the server has ended. Then it is killed."""

_PR_SET_PDEATHSIG: Final = 1

log = structlog.get_logger(__name__)


def follow_parent() -> None:
    """Let the kernel send SIGTERM to this process when its parent dies, also by `kill -9`. This works on Linux only."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # the parent died before the call above
        os.kill(os.getpid(), signal.SIGTERM)


class Supervisor:
    """A server and a worker, given as command lines. Both programs begin with `follow_parent`.

    After a kill -9 of this process the kernel therefore sends SIGTERM to both, and no process is left.
    """

    def __init__(
        self, server: Sequence[str], worker: Sequence[str], between_starts: float = BETWEEN_STARTS_SECONDS
    ) -> None:
        self._server, self._worker = server, worker
        self._between_starts = between_starts
        self._running: list[subprocess.Popen[bytes]] = []
        self._stopping = False

    def run(self) -> int:
        """Run both until the server ends. Return the exit code of the server, or 1 if a signal killed it.

        On SIGTERM or SIGINT both get SIGTERM. They then finish their requests and the current step.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        server = self._start(self._server)
        worker, started = self._start(self._worker), time.monotonic()
        while server.poll() is None:
            time.sleep(POLL_SECONDS)
            if worker.poll() is None or self._stopping or time.monotonic() < started + self._between_starts:
                continue
            log.error("worker died", exit_code=worker.returncode)
            self._running.remove(worker)
            worker, started = self._start(self._worker), time.monotonic()
        self._stop()
        _await(worker)
        return server.returncode if server.returncode >= 0 else 1

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        # In a session of its own, so that Ctrl-C reaches only this process, which then stops both.
        process = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - our own interpreter and modules
        self._running.append(process)
        if self._stopping:  # the signal came while the process started
            process.terminate()
        return process

    def _stop(self, *_: Any) -> None:
        self._stopping = True
        for process in self._running:
            process.terminate()


def _await(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(WORKER_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
