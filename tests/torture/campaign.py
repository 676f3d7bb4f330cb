"""One run of the campaign: start, workload with faults and kills, end, checks."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from app import bootstrap
from app.settings import Settings
from tests.torture import engines
from tests.torture.checks import Checks
from tests.torture.clients import Client
from tests.torture.consumers import FeedConsumer, SequenceConsumer, TimeConsumer
from tests.torture.contested import ContestedStudy
from tests.torture.engines import EngineUnderTest
from tests.torture.journal import Journal
from tests.torture.processes import Fleet
from tests.torture.requests import Requests
from tests.torture.storage_checks import check_storage, sweep_everything
from tests.torture.studies import PARTITIONS
from tests.torture.transport import Transport

_CONTESTED_STUDIES: Final = 2
_OPERATIONS_END_SECONDS: Final = 240
"""How long the operations may take after a run. The lease of a killed worker lasts a minute on its clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run does. `rate` is that of faults at each call, `skew` the largest error of a clock in seconds.

    `kill_seconds` is the mean time between two kills, 0 for none. The workload lasts `seconds`, and longer until
    `has_done_enough` says so: a busy machine may do little in a short time.
    """

    engine: str
    seed: int
    seconds: float
    clients: int = 4
    rate: float = 0.005
    skew: float = 60.0
    kill_seconds: float = 6.0
    has_done_enough: Callable[[], bool] = lambda: True


class Processes(Protocol):
    """The processes of a run: `Fleet`, or `InProcessFleet` in the ordinary tests."""

    rate: float
    skew: float

    @property
    def transport(self) -> Transport: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill_one(self) -> None: ...

    def restart_dead(self) -> None: ...


def run(plan: Plan, journal: Journal, folder: Path) -> None:
    """Run a plan with processes of its own. Violations and counts are in the journal. The folder has data and logs."""
    with engines.engine(plan.engine, folder) as under_test:
        fleet = Fleet(
            folder=folder,
            environment=under_test.environment,
            journal=journal,
            chance=random.Random(f"{plan.seed}/processes"),
            rate=plan.rate,
            skew=plan.skew,
        )
        Campaign(plan, journal, fleet, under_test).run()
    faults = folder / "faults.log"
    for line in faults.read_text().splitlines() if faults.exists() else ():
        journal.count(f"fault: {line}")


class Campaign:
    """A workload on processes that run on one archive."""

    def __init__(self, plan: Plan, journal: Journal, processes: Processes, under_test: EngineUnderTest) -> None:
        self._plan = plan
        self._journal = journal
        self._processes = processes
        self._under_test = under_test
        self._contested = [_contested_study(plan.seed, number) for number in range(1, _CONTESTED_STUDIES + 1)]
        faults = bool(plan.rate or plan.kill_seconds)
        self._clients = [
            Client(
                number,
                plan.seed,
                processes.transport,
                journal,
                faults=faults,
                destination=under_test.destination,
                contested=self._contested,
            )
            for number in range(plan.clients)
        ]
        self._consumers: tuple[FeedConsumer, FeedConsumer] = (
            SequenceConsumer(self._requests("sequence", faults), random.Random(f"{plan.seed}/sequence")),
            TimeConsumer(self._requests("time", faults), random.Random(f"{plan.seed}/time")),
        )

    def _requests(self, name: str, faults: bool) -> Requests:
        chance = random.Random(f"{self._plan.seed}/server/{name}")
        return Requests(self._processes.transport, self._journal, chance, faults)

    def run(self) -> None:
        """Do the workload, then end it, sweep, and check everything without faults."""
        try:
            self._processes.start()
            self._work()
            self._processes.stop()
            # From here on nothing fails and all clocks are right.
            self._processes.rate = self._processes.skew = 0
            parts: tuple[Client | FeedConsumer, ...] = (*self._clients, *self._consumers)
            for part in parts:
                part.requests.faults = False
            self._processes.start()
            self._end_operations()
            self._processes.stop()
            settings = Settings.from_environment(dict(self._under_test.environment))
            engine = bootstrap.build_engine(settings)
            sweep_everything(engine, settings, self._journal)
            check_storage(engine, self._under_test, self._journal)
            self._processes.start()
            self._check()
        finally:
            self._processes.stop()

    def _work(self) -> None:
        """Let the clients act for the time of the plan. Kill processes meanwhile, and start them again."""
        for partition in PARTITIONS:
            self._clients[0].act(partial(self._clients[0].studies.create_partition, partition))
        stop, stop_consumers = threading.Event(), threading.Event()
        writers = [threading.Thread(target=client.run, args=(stop,)) for client in self._clients]
        readers = [threading.Thread(target=consumer.run, args=(stop_consumers,)) for consumer in self._consumers]
        for thread in (*writers, *readers):
            thread.start()
        self._kill_until(time.monotonic() + self._plan.seconds)
        stop.set()
        self._join(writers)
        stop_consumers.set()
        self._join(readers)

    def _kill_until(self, end: float) -> None:
        chance = random.Random(f"{self._plan.seed}/kills")
        mean = self._plan.kill_seconds
        next_kill = time.monotonic() + chance.expovariate(1 / mean) if mean else float("inf")
        while time.monotonic() < end or not self._plan.has_done_enough():
            time.sleep(0.05)
            if time.monotonic() > next_kill:
                self._processes.kill_one()
                next_kill = time.monotonic() + chance.expovariate(1 / mean)
            self._processes.restart_dead()

    def _join(self, threads: Iterable[threading.Thread]) -> None:
        """Wait for threads. Their requests need processes that run."""
        for thread in threads:
            while thread.is_alive():
                thread.join(0.1)
                self._processes.restart_dead()

    def _end_operations(self) -> None:
        """Wait until all operations have ended."""
        ends = time.monotonic() + _OPERATIONS_END_SECONDS
        while running := [each for client in self._clients for part in client.backgrounds for each in part.running]:
            for client in self._clients:
                client.act(client.look)
            if time.monotonic() > ends:
                self._journal.violate("every operation ends", "operations", str(running)[:800])
                return
            time.sleep(0.1)
        self._end_query_tags(ends)

    def _end_query_tags(self, ends: float) -> None:
        """Add the extended query tags that do not exist, and wait until all are ready."""
        tags = self._clients[0].tags
        while not tags.make_ready():
            if time.monotonic() > ends:
                self._journal.violate("every operation ends", "re-index", str(tags.statuses()))
                return
            time.sleep(0.2)

    def _check(self) -> None:
        first = self._clients[0]
        studies = [*self._contested, *(study for client in self._clients for study in client.studies.studies)]
        checks = Checks(first.requests, studies)
        checks.check_studies()
        checks.check_partitions()
        self._journal.count("query tags ready", checks.check_query_tags(first.tags))
        checks.check_feed(self._consumers)
        checks.check_exports([client.background for client in self._clients], self._under_test)
        for client in self._clients:
            for workitem in client.workitems.workitems:
                client.workitems.read(workitem)
        self._journal.count("studies", len(studies))
        self._journal.count("instances", sum(each.states != {None} for study in studies for each in study.instances))


def _contested_study(seed: int, number: int) -> ContestedStudy:
    study = ContestedStudy(PARTITIONS[0], f"2.25.{seed + 1}.{number}", number)
    for each in range(1, 5):
        study.instances.append(study.new_instance(f"{study.uid}.{1 + each % 2}", f"{study.uid}.9.{each}"))
    return study


def new_folder(plan: Plan) -> Path:
    """Return a new folder for the data and the logs of a run."""
    return Path(tempfile.mkdtemp(prefix=f"torture-{plan.engine}-{plan.seed}-"))
