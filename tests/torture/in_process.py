"""A campaign within one process, for the ordinary tests: two applications and a worker on one data folder.

Each of the three has its own engine with its own faults, as if it were a process. A kill lets all its calls to the
engine raise `Killed`, and then a new one replaces it. Time runs faster than in reality, so that gaps of the feed are
closed and leases expire within the run.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from flask import Flask
from werkzeug.datastructures import Headers

from app import bootstrap, create_app
from app.errors import StorageError
from app.services import Services
from app.settings import Settings
from app.storage.table import clock
from tests.support.faults import Killed
from tests.support.faulty_engine import Faults
from tests.support.random_faults import Fault, RandomFaults
from tests.torture.consumers import CLOCK_HEADER
from tests.torture.journal import Journal
from tests.torture.processes import SERVERS, WORKER
from tests.torture.server import SHARES
from tests.torture.transport import Answer

SPEED: Final = 20.0
"""Seconds of the archive's clock in a second."""

_LEASES_EXPIRED: Final = 600.0
"""How far all clocks move when the faults end, so that nothing waits for the leases of killed workers."""

_offset = threading.local()
"""The error of the clock of the process that the current thread belongs to."""


def shifted_clock(started: float) -> float:
    """Return the time on the clock of the current process of the campaign."""
    error: float = getattr(_offset, "seconds", 0.0)
    return started + SPEED * (time.time() - started) + error


@dataclass(slots=True)
class InProcess:
    """One of the three. `clock` is the error of its clock."""

    faults: Faults
    engine: bootstrap.Engine
    clock: float
    application: Flask | None = None
    services: Services | None = None


@dataclass(slots=True, kw_only=True)
class InProcessFleet:
    """Two applications and a worker; see `Fleet`. `settings` are those of the archive."""

    settings: Settings
    journal: Journal
    chance: random.Random
    rate: float
    skew: float
    servers: int = len(SERVERS)
    _running: dict[str, InProcess] = field(default_factory=dict)
    _starts: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _worker: threading.Thread | None = None

    @property
    def transport(self) -> InProcessFleet:
        """The fleet sends requests itself."""
        return self

    def start(self) -> None:
        """Start all three."""
        self._stop.clear()
        for name in (*SERVERS, WORKER):
            self._start(name)
        self._worker = threading.Thread(target=self._work)
        self._worker.start()

    def _start(self, name: str) -> None:
        self._starts += 1
        faults = Faults()
        engine = bootstrap.build_engine(self.settings)
        later = 0 if self.rate else _LEASES_EXPIRED
        error = round(later + self.chance.uniform(-self.skew, self.skew), 3)
        process = InProcess(faults, faults.wrap(engine), error)
        if name == WORKER:
            process.services = bootstrap.build_services(self.settings, process.engine)
        else:
            process.application = create_app(self.settings, process.engine)
        rates = {fault: self.rate * share for fault, share in SHARES.items()}
        drawn = CountedFaults(self.journal, 1000 * self.journal.seed + self._starts, rates, longest_delay=0.02)
        faults.add(drawn.rule())
        self._running[name] = process

    def kill_one(self) -> None:
        """Kill one of the three, and start it again."""
        name = self.chance.choice((*SERVERS, WORKER))
        self._running[name].faults.killed = True
        self.journal.count("processes killed")
        self._start(name)

    def restart_dead(self) -> None:
        """Do nothing: what was killed is started again at once."""

    def stop(self) -> None:
        """Stop the worker. Requests that run are not waited for."""
        self._stop.set()
        if self._worker:
            self._worker.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            process = self._running[WORKER]
            _offset.seconds = process.clock
            for step in process.services.background if process.services else ():
                with suppress(Killed, StorageError):
                    step()
            self._stop.wait(0.02)

    def send(
        self, server: int, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request to one of the applications. A killed one gives no answer."""
        process = self._running[SERVERS[server]]
        assert process.application is not None
        _offset.seconds = process.clock
        try:
            found = process.application.test_client().open(
                target, method=method, data=body, headers=Headers(list((headers or {}).items()))
            )
            return Answer(found.status_code, found.data, {**found.headers, CLOCK_HEADER: repr(clock.now())})
        except (Killed, StorageError):
            return Answer(0)
        finally:
            _offset.seconds = 0.0


class CountedFaults(RandomFaults):
    """Random faults that the journal counts."""

    def __init__(self, journal: Journal, seed: int, rates: Mapping[Fault, float], *, longest_delay: float) -> None:
        super().__init__(seed, rates, longest_delay=longest_delay)
        self._journal = journal

    def _apply(self, fault: Fault, source: random.Random) -> None:
        self._journal.count(f"fault: {fault.value}")
        super()._apply(fault, source)
