"""The processes of a campaign: two servers and a worker. They are killed at random and started again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import urllib3

from tests.benchmarks.processes import family
from tests.integration.servers import free_port
from tests.torture.journal import Journal
from tests.torture.transport import HttpTransport, Transport

SERVERS: Final = ("a", "b")
WORKER: Final = "w"
_START_SECONDS: Final = 60


@dataclass(slots=True, kw_only=True)
class Fleet:
    """Two servers and a worker on one archive. `rate` is that of faults, `skew` the largest error of a clock.

    `environment` has their settings. Each start draws another offset of the clock.
    """

    folder: Path
    environment: Mapping[str, str]
    journal: Journal
    chance: random.Random
    rate: float
    skew: float
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in SERVERS})
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def transport(self) -> Transport:
        """Sends requests to the servers."""
        return HttpTransport(self.urls)

    @property
    def urls(self) -> list[str]:
        """The URLs of the servers."""
        return [f"http://127.0.0.1:{self._ports[name]}" for name in SERVERS]

    def start(self) -> None:
        """Start all processes, and wait until the servers answer."""
        for name in (*SERVERS, WORKER):
            self._start(name)
        for name, url in zip(SERVERS, self.urls, strict=True):
            self._await(name, url)

    def _await(self, name: str, url: str) -> None:
        pool = urllib3.PoolManager(retries=False, timeout=5)
        ends = time.monotonic() + _START_SECONDS
        while time.monotonic() < ends:
            with suppress(urllib3.exceptions.HTTPError):
                pool.request("GET", url + "/health/check")
                return
            self.restart_dead()
            time.sleep(0.2)
        raise RuntimeError(f"server {name} does not start: see {self.folder}")

    def _start(self, name: str) -> None:
        role = "work" if name == WORKER else "serve"
        offset = round(self.chance.uniform(-self.skew, self.skew), 3)
        command = [sys.executable, "-m", "tests.torture.server", role, "--name", name]
        command += ["--seed", str(self.journal.seed), "--rate", str(self.rate), "--clock", str(offset)]
        command += ["--folder", str(self.folder)]
        own = {"BULKHEAD_PORT": str(self._ports[name]), "BULKHEAD_WORKERS": "1"} if role == "serve" else {}
        with (self.folder / f"{name}.log").open("ab") as log:
            log.write(f"--- start at {time.time():.3f}, clock {offset:+.3f}\n".encode())
            log.flush()
            self._running[name] = subprocess.Popen(
                command, env={**os.environ, **self.environment, **own}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def restart_dead(self) -> None:
        """Start each process again that has ended."""
        with self._lock:
            for name, process in list(self._running.items()):
                if process.poll() is not None:
                    self._start(name)

    def kill_one(self) -> None:
        """Kill a server with its process, the process of a server, or the worker; `kill -9`. It is started again.

        The worker is killed less often: after each kill its operations wait for their leases to expire.
        """
        name = self.chance.choice((*SERVERS, *SERVERS, *SERVERS, WORKER))
        with self._lock:
            members = family(self._running[name].pid)
        victims = {
            WORKER: members,
            SERVERS[0]: self.chance.choice((members[:1], members[1:2], members)),
            SERVERS[1]: self.chance.choice((members[:1], members[1:2], members)),
        }[name]
        for victim in victims:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                self.journal.count("processes killed")

    def stop(self) -> None:
        """Stop all processes with SIGTERM. One that does not end within 40 seconds violates an invariant."""
        with self._lock:
            for process in self._running.values():
                process.terminate()
            for name, process in self._running.items():
                try:
                    process.wait(40)
                except subprocess.TimeoutExpired:
                    self.journal.violate("a process ends on SIGTERM", name, "it was killed")
                    for member in family(process.pid):
                        os.kill(member, signal.SIGKILL)
                    process.wait()
            self._running.clear()
