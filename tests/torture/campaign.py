"""One run of the campaign on one engine: start, workload with faults and kills, end, checks."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app import bootstrap
from app.settings import Settings
from tests.torture import engines
from tests.torture.background import BackgroundClient
from tests.torture.checks import Checks
from tests.torture.consumers import FeedConsumer, SequenceConsumer, TimeConsumer
from tests.torture.contested import ContestedStudy
from tests.torture.journal import Journal
from tests.torture.model import KnownStudy
from tests.torture.processes import Fleet
from tests.torture.query_tags import QueryTagClient
from tests.torture.requests import Requests
from tests.torture.storage_checks import check_storage, sweep_everything
from tests.torture.studies import PARTITIONS, StudyClient
from tests.torture.transport import HttpTransport, Transport
from tests.torture.workitems import WorkitemClient

_CONTESTED_STUDIES: Final = 2
_OPERATIONS_END_SECONDS: Final = 240
"""How long the operations may take after a run. The lease of a killed worker lasts a minute on its clock."""

Action = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run does. `rate` is that of faults at each call, `skew` the largest error of a clock in seconds.

    `kill_seconds` is the mean time between two kills, 0 for none.
    """

    engine: str
    seed: int
    seconds: float
    clients: int = 4
    rate: float = 0.005
    skew: float = 60.0
    kill_seconds: float = 6.0


class Client:
    """One thread with all its parts. It draws what it does next."""

    def __init__(
        self,
        number: int,
        transport: Transport,
        journal: Journal,
        plan: Plan,
        destination: object,
        contested: Sequence[KnownStudy],
    ) -> None:
        chance = random.Random(f"{plan.seed}/client/{number}")
        faulty = bool(plan.rate or plan.kill_seconds)
        self.requests = Requests(transport, journal, random.Random(f"{plan.seed}/server/{number}"), faulty)
        self.pool = ThreadPoolExecutor(4)
        self.studies = StudyClient(self.requests, chance, self.pool, 100_000 * (number + 1))
        self.contested = StudyClient(self.requests, chance, self.pool, 0, list(contested))
        self.background = BackgroundClient(self.requests, chance, self.studies.studies, destination)  # type: ignore[arg-type]
        self.workitems = WorkitemClient(self.requests, chance)
        self.tags = QueryTagClient(self.requests, chance)
        self._chance = chance
        self._actions: list[tuple[Action, float]] = [
            (self.studies.store_new, 12),
            (self.studies.store_again, 3),
            (self.studies.store_elsewhere, 2),
            (self.studies.race, 3),
            (self.studies.delete, 2),
            (self.studies.delete_while_storing, 1.5),
            (self.studies.read, 6),
            (self.contested.store_again, 2),
            (self.contested.delete, 1),
            (self.contested.delete_while_storing, 0.5),
            (self.background.update, 1.5),
            (self.background.export, 0.5),
            (self.background.look, 3),
            (self.workitems.act, 4),
        ]
        if number == 0:
            self._actions.append((self.tags.act, 0.7))

    def run(self, stop: threading.Event) -> None:
        """Act until `stop` is set."""
        acts, weights = zip(*self._actions, strict=True)
        while not stop.is_set():
            self.act(self._chance.choices(acts, weights)[0])
        self.pool.shutdown()

    def act(self, action: Action) -> None:
        """Do one action. An error of the campaign itself is a violation too, so that no thread ends unseen."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - any error must be in the report
            import traceback

            self.requests.journal.violate(
                "the campaign understands every answer", "client", traceback.format_exc(limit=-4) + repr(error)
            )


def run(plan: Plan, journal: Journal, folder: Path) -> None:
    """Run a plan. Violations and counts are in the journal. The folder keeps data and logs."""
    with engines.engine(plan.engine, folder) as under_test:
        fleet = Fleet(
            folder=folder,
            environment=under_test.environment,
            journal=journal,
            chance=random.Random(f"{plan.seed}/processes"),
            rate=plan.rate,
            skew=plan.skew,
        )
        transport = HttpTransport(fleet.urls)
        contested = [
            ContestedStudy(PARTITIONS[0], f"2.25.{plan.seed}.{number + 1}", number + 1)
            for number in range(_CONTESTED_STUDIES)
        ]
        _create_contested(contested)
        clients = [
            Client(number, transport, journal, plan, under_test.destination, contested)
            for number in range(plan.clients)
        ]
        consumers: list[FeedConsumer] = [
            SequenceConsumer(clients[0].requests, random.Random(f"{plan.seed}/sequence")),
            TimeConsumer(clients[0].requests, random.Random(f"{plan.seed}/time")),
        ]
        try:
            fleet.start()
            _work(plan, journal, fleet, clients, consumers)
            fleet.stop()
            # From here on nothing fails and all clocks are right.
            fleet.rate = fleet.skew = 0
            for client in clients:
                client.requests.faults = False
            fleet.start()
            _end_operations(journal, clients, fleet)
            fleet.stop()
            settings = Settings.from_environment(dict(under_test.environment))
            engine = bootstrap.build_engine(settings)
            sweep_everything(engine, settings, journal)
            check_storage(engine, under_test, journal)
            fleet.start()
            _check(clients, contested, consumers, under_test, journal)
        finally:
            fleet.stop()
    faults = folder / "faults.log"
    for line in faults.read_text().splitlines() if faults.exists() else ():
        journal.count(f"fault: {line}")


def _create_contested(contested: Sequence[KnownStudy]) -> None:
    for study in contested:
        for number in range(1, 5):
            study.instances.append(study.new_instance(f"{study.uid}.{1 + number % 2}", f"{study.uid}.9.{number}"))


def _work(
    plan: Plan, journal: Journal, fleet: Fleet, clients: Sequence[Client], consumers: Sequence[FeedConsumer]
) -> None:
    """Let the clients act for the time of the plan. Kill processes meanwhile, and start them again."""
    stop, stop_consumers = threading.Event(), threading.Event()
    for partition in PARTITIONS:
        _create_partition(clients[0], partition)
    threads = [threading.Thread(target=client.run, args=(stop,)) for client in clients]
    readers = [threading.Thread(target=consumer.run, args=(stop_consumers,)) for consumer in consumers]
    for thread in (*threads, *readers):
        thread.start()
    ends = time.monotonic() + plan.seconds
    chance = random.Random(f"{plan.seed}/kills")
    next_kill = time.monotonic() + chance.expovariate(1 / plan.kill_seconds) if plan.kill_seconds else float("inf")
    while time.monotonic() < ends:
        time.sleep(0.1)
        if time.monotonic() > next_kill:
            fleet.kill_one()
            next_kill = time.monotonic() + chance.expovariate(1 / plan.kill_seconds)
        fleet.restart_dead()
    stop.set()
    while any(thread.is_alive() for thread in threads):
        fleet.restart_dead()
        time.sleep(0.1)
    stop_consumers.set()
    for thread in (*threads, *readers):
        thread.join()


def _create_partition(client: Client, partition: str) -> None:
    """Store into a partition until the store is acknowledged."""
    study = KnownStudy(
        partition, f"2.25.{len(client.studies.studies) + 1}", client.studies.first_number + len(client.studies.studies)
    )
    client.studies.studies.append(study)
    while not any(each.must_exist for each in study.instances):
        client.studies.store_into(study)


def _end_operations(journal: Journal, clients: Sequence[Client], fleet: Fleet) -> None:
    """Wait until all operations have ended."""
    ends = time.monotonic() + _OPERATIONS_END_SECONDS
    while any(client.background.running for client in clients):
        for client in clients:
            client.act(client.background.look)
        if time.monotonic() > ends:
            running = [each for client in clients for each in client.background.running]
            journal.violate("every operation ends", "operations", str(running)[:800])
            return
        time.sleep(0.5)


def _check(
    clients: Sequence[Client],
    contested: Sequence[KnownStudy],
    consumers: Sequence[FeedConsumer],
    under_test: engines.EngineUnderTest,
    journal: Journal,
) -> None:
    studies = [*contested, *(study for client in clients for study in client.studies.studies)]
    checks = Checks(clients[0].requests, studies)
    checks.check_studies()
    checks.check_partitions()
    journal.count("query tags ready", checks.check_query_tags(clients[0].tags))
    checks.check_feed(consumers)
    checks.check_exports([client.background for client in clients], under_test)
    for client in clients:
        for workitem in client.workitems.workitems:
            client.workitems.read(workitem)
    journal.count("studies", len(studies))
    journal.count("instances", sum(each.states != {None} for study in studies for each in study.instances))


def new_folder(plan: Plan) -> Path:
    """Return a new folder for the data and the logs of a run."""
    return Path(tempfile.mkdtemp(prefix=f"torture-{plan.engine}-{plan.seed}-"))
