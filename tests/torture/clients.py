"""A client of the campaign: one thread that draws what it does next."""

from __future__ import annotations

import random
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from tests.torture.background import BackgroundClient
from tests.torture.journal import Journal
from tests.torture.model import KnownStudy
from tests.torture.query_tags import QueryTagClient
from tests.torture.requests import Requests
from tests.torture.studies import StudyClient
from tests.torture.transport import Transport
from tests.torture.workitems import WorkitemClient

_NUMBERS: Final = 100_000
"""Numbers of studies of one client."""

Action = Callable[[], object]


class Client:
    """One client with all its parts.

    `faults` says whether requests may fail because of faults. `destination` is that of exports. All clients change the
    studies in `contested`.
    """

    def __init__(
        self,
        number: int,
        seed: int,
        transport: Transport,
        journal: Journal,
        *,
        faults: bool,
        destination: Mapping[str, Any],
        contested: Sequence[KnownStudy],
    ) -> None:
        chance = random.Random(f"{seed}/client/{number}")
        self.requests = Requests(transport, journal, random.Random(f"{seed}/server/{number}"), faults)
        self.pool = ThreadPoolExecutor(4)
        self.studies = StudyClient(self.requests, chance, self.pool, _NUMBERS * (number + 1))
        self.contested = StudyClient(self.requests, chance, self.pool, 0, list(contested))
        self.background = BackgroundClient(self.requests, chance, self.studies.studies, destination)
        self.contested_background = BackgroundClient(self.requests, chance, self.contested.studies, destination)
        self.workitems = WorkitemClient(self.requests, chance, self.pool)
        self.tags = QueryTagClient(self.requests, chance)
        self._chance = chance
        self._actions: list[tuple[Action, float]] = [
            (self.studies.store_new, 12),
            (self.studies.store_again, 3),
            (self.studies.store_elsewhere, 2),
            (self.studies.store_together, 1.5),
            (self.studies.race, 3),
            (self.studies.delete, 2),
            (self.studies.delete_while_storing, 1.5),
            (self.studies.read, 6),
            (self.contested.store_again, 2),
            (self.contested.delete, 1),
            (self.contested.delete_while_storing, 0.5),
            (self.contested_background.update, 0.3),
            (self.background.update, 1),
            (self.background.export, 0.5),
            (self.look, 3),
            (self.workitems.act, 4),
        ]
        if number == 0:
            self._actions.append((self.tags.act, 0.7))

    @property
    def backgrounds(self) -> tuple[BackgroundClient, BackgroundClient]:
        return self.background, self.contested_background

    def look(self) -> None:
        """Ask for the operations that run."""
        for each in self.backgrounds:
            each.look()

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
        except Exception:  # noqa: BLE001 - any error must be in the report
            self.requests.journal.violate(
                "the campaign understands every answer", "client", traceback.format_exc(limit=-4)
            )
