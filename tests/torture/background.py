"""What a client starts in the background: bulk updates and exports. And what it expects of them at their end."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.torture.model import KnownInstance, KnownStudy, patient_id
from tests.torture.requests import JSON, Requests, as_json

update_numbers = itertools.count(1)
"""The numbers of the bulk updates of all clients."""


@dataclass(slots=True, kw_only=True)
class Started:
    """An operation that was accepted. It `may_fail` if its steps met faults."""

    id: str
    kind: str
    studies: Sequence[KnownStudy]
    may_fail: bool
    update: int = 0
    prefix: str = ""


@dataclass(slots=True)
class BackgroundClient:
    """Starts operations on the studies of a client. A study on which one runs is left alone until its end.

    `destination` is that of exports, without its prefix.
    """

    requests: Requests
    chance: random.Random
    studies: list[KnownStudy]
    destination: Mapping[str, Any]
    running: list[Started] = field(default_factory=list)
    exported: list[tuple[Started, Mapping[str, Any], list[KnownInstance]]] = field(default_factory=list)
    """The exports that ended: the operation, its results, and the instances of its studies."""

    def update(self) -> None:
        """Start a bulk update of some studies. Without an answer these are frozen: it may run at any time."""
        for study in self._free():
            self._update(study)

    def _update(self, study: KnownStudy) -> None:
        number = next(update_numbers)
        # The Patient ID has the number of the study, so each update is of one study.
        changes = {"00100020": {"vr": "LO", "Value": [patient_id(study.number, number)]}}
        answer = self.requests.send(
            "update",
            study.key,
            "POST",
            f"/v2/partitions/{study.partition}/studies/$bulkUpdate",
            allowed=(202, 409),
            body=as_json({"studyInstanceUids": [study.uid], "changeDataset": changes}),
            headers=JSON,
        )
        if answer.status == 202:
            operation = answer.json()["id"]
            study.begin(operation)
            study.updates.append(number)
            may_fail = self.requests.faults
            self.running.append(Started(id=operation, kind="update", studies=[study], update=number, may_fail=may_fail))
        elif answer.status != 409 and answer.sent:
            study.freeze()
            study.updates.append(number)
            for each in study.instances:
                each.updated(number, certain=False)

    def export(self) -> None:
        """Start an export of some studies of one partition."""
        free = self._free(3)
        chosen = [each for each in free if each.partition == free[0].partition]
        if not chosen:
            return
        prefix = f"export-{self.chance.getrandbits(60):x}"
        settings = {**self.destination["settings"], "prefix": prefix}
        body = {
            "source": {"type": "identifiers", "settings": {"values": [each.uid for each in chosen]}},
            "destination": {"type": self.destination["type"], "settings": settings},
        }
        answer = self.requests.send(
            "export",
            chosen[0].key,
            "POST",
            f"/v2/partitions/{chosen[0].partition}/export",
            allowed=(202,),
            body=as_json(body),
            headers=JSON,
        )
        if answer.status == 202:
            operation = answer.json()["id"]
            for study in chosen:
                study.begin(operation)
            may_fail = self.requests.faults
            self.running.append(Started(id=operation, kind="export", studies=chosen, prefix=prefix, may_fail=may_fail))

    def look(self) -> None:
        """Ask for the operations that run. Apply those that have ended to the model."""
        for started in list(self.running):
            subject = ("operation", started.id)
            answer = self.requests.send("operation", subject, "GET", f"/v2/operations/{started.id}", allowed=(200, 202))
            if answer.status == 200:
                self.running.remove(started)
                self._ended(started, answer.json())

    def _ended(self, started: Started, operation: Mapping[str, Any]) -> None:
        journal = self.requests.journal
        journal.count(f"{started.kind}s {operation['status']}")
        for study in started.studies:
            study.end()
            journal.note(study.key, f"operation {started.id} {operation['status']} {operation.get('results')}")
        if started.kind == "update":
            (study,) = started.studies
            succeeded = operation["status"] == "succeeded"
            if not succeeded and not started.may_fail:
                journal.violate("an update succeeds", study.key, str(operation))
            for each in study.instances:
                each.updated(started.update, certain=succeeded)
        elif operation["status"] == "succeeded":
            instances = [instance for study in started.studies for instance in study.instances]
            self.exported.append((started, operation["results"], instances))

    def _free(self, at_most: int = 1) -> list[KnownStudy]:
        free = [each for each in self.studies if each.instances and each.is_free]
        return self.chance.sample(free, min(at_most, len(free)))
