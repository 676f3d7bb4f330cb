"""Two processes side by side: the server, whose end is the end, and the worker, which is started again when it dies."""

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

LOOK_SECONDS: Final = 0.2
BETWEEN_STARTS_SECONDS: Final = 5.0
"""A worker is started no more often than this; one that lived longer is replaced at once."""

PATIENCE_SECONDS: Final = 30.0
"""How long the worker may take to finish its step after the server has gone."""

_PR_SET_PDEATHSIG: Final = 1

log = structlog.get_logger(__name__)


def follow_parent() -> None:
    """Let this process be asked to stop when its parent dies, by `kill -9` too (Linux; elsewhere nothing happens)."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the request stood
        os.kill(os.getpid(), signal.SIGTERM)


class Supervisor:
    """A server and a worker, each given as a command line whose program calls `follow_parent` first.

    After `kill -9` of this process both are asked to stop by the system; nothing is left to run on.
    """

    def __init__(
        self, server: Sequence[str], worker: Sequence[str], between_starts: float = BETWEEN_STARTS_SECONDS
    ) -> None:
        self._server, self._worker = server, worker
        self._between_starts = between_starts
        self._running: list[subprocess.Popen[bytes]] = []
        self._stopping = False

    def run(self) -> int:
        """Run both until the server ends and return its exit code, 1 if a signal killed it.

        SIGTERM and SIGINT are passed on to both as SIGTERM: requests and the step under way are finished.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        server = self._start(self._server)
        worker, started = self._start(self._worker), time.monotonic()
        while server.poll() is None:
            time.sleep(LOOK_SECONDS)
            if worker.poll() is None or self._stopping or time.monotonic() < started + self._between_starts:
                continue
            log.error("worker_died", exit_code=worker.returncode)
            self._running.remove(worker)
            worker, started = self._start(self._worker), time.monotonic()
        self._stop()
        _await(worker)
        return server.returncode if server.returncode >= 0 else 1

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C reaches this process alone, which then stops both in good order.
        process = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - our own interpreter and modules
        self._running.append(process)
        if self._stopping:  # the signal came while the process was being made
            process.terminate()
        return process

    def _stop(self, *_: Any) -> None:
        self._stopping = True
        for process in self._running:
            process.terminate()


def _await(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
