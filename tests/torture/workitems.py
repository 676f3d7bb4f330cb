"""What a client does with workitems of its own, and the states that they may have after all answers so far."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from tests.support import workitems
from tests.torture.requests import DICOM_JSON, UNAVAILABLE, Requests, as_json, value
from tests.torture.transport import Answer

PARTITION: Final = "torture-a"
SCHEDULED, IN_PROGRESS, COMPLETED, CANCELED = "SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED"
ABSENT: Final = ""
BUSY: Final = b"is currently being updated"
"""A refusal in any state: another write is under way (conformance §7.2, M4)."""

_AFTER: Final = {
    "add": {ABSENT: SCHEDULED},
    "claim": {SCHEDULED: IN_PROGRESS},
    "complete": {IN_PROGRESS: COMPLETED},
    "cancel": {SCHEDULED: CANCELED},
}
"""What each action does to which state. In other states it is refused."""


@dataclass(slots=True, eq=False)
class KnownWorkitem:
    """A workitem of one client, and its possible states."""

    uid: str
    transaction: str
    states: set[str] = field(default_factory=lambda: {ABSENT})
    performed: set[bool] = field(default_factory=lambda: {False})
    """Whether it has the attributes that a completed workitem needs."""

    @property
    def key(self) -> tuple[str, str]:
        return "workitem", self.uid


@dataclass(slots=True)
class WorkitemClient:
    """Adds, claims, completes and cancels workitems, and reads them."""

    requests: Requests
    chance: random.Random
    pool: ThreadPoolExecutor
    workitems: list[KnownWorkitem] = field(default_factory=list)
    unusable: set[str] = field(default_factory=set)
    """Workitems whose Transaction UID is not known."""

    def act(self) -> None:
        """Do one thing with a new or known workitem."""
        known = [each for each in self.workitems[-20:] if each.uid not in self.unusable]
        if not known or self.chance.random() < 0.3:
            number = self.chance.getrandbits(120)
            self.workitems.append(KnownWorkitem(f"2.25.{number}", f"2.25.{number}.1"))
            self._change("add", self.workitems[-1])
            return
        chosen = self.chance.choice(known)
        action = self.chance.choice(
            ("add", "claim", "claim", "claim at once", "complete", "complete", "cancel", "read")
        )
        if action == "read":
            self.read(chosen)
        elif action == "claim at once":
            self._claim_at_once(chosen)
        elif action == "complete":
            self._perform(chosen)
            self._change("complete", chosen)
        else:
            self._change(action, chosen)

    def _change(self, action: str, item: KnownWorkitem) -> None:
        base = f"/v2/partitions/{PARTITION}/workitems"
        method, target, body, done = {
            "add": ("POST", f"{base}?{item.uid}", workitems.workitem(), 201),
            "claim": ("PUT", f"{base}/{item.uid}/state", workitems.state(IN_PROGRESS, item.transaction), 200),
            "complete": ("PUT", f"{base}/{item.uid}/state", workitems.state(COMPLETED, item.transaction), 200),
            "cancel": ("POST", f"{base}/{item.uid}/cancelrequest", {}, 202),
        }[action]
        answer = self.requests.send(
            f"workitem {action}",
            item.key,
            method,
            target,
            allowed=(done, 400, 404, 409),
            body=as_json([body]),
            headers=DICOM_JSON,
        )
        before = set(item.states)
        can_complete = action != "complete" or True in item.performed
        after = {_AFTER[action][state] for state in before if state in _AFTER[action] and can_complete}
        refused = {state for state in before if state not in _AFTER[action]}
        if action == "complete" and False in item.performed:
            refused |= before & {IN_PROGRESS}
        if BUSY in answer.body:
            return
        if action == "complete" and answer.status == done and b"B306" in answer.body:
            item.states = before & {COMPLETED}
        elif answer.status == done:
            item.states = after
        elif answer.status in (400, 404, 409):
            item.states = refused
        else:
            item.states = before | after
        if not item.states:
            self._violate(item, f"{action} -> {answer.status} {answer.body[:200]!r} in {before}")

    def _claim_at_once(self, item: KnownWorkitem) -> None:
        """Let three performers claim a scheduled workitem at the same time. One of them gets it."""
        if item.states != {SCHEDULED}:
            return
        transactions = [f"{item.uid}.{number}" for number in (2, 3, 4)]
        target = f"/v2/partitions/{PARTITION}/workitems/{item.uid}/state"

        def claim(transaction: str) -> Answer:
            body = as_json([workitems.state(IN_PROGRESS, transaction)])
            allowed = (200, 400, 409)
            return self.requests.send(
                "workitem claim", item.key, "PUT", target, allowed=allowed, body=body, headers=DICOM_JSON
            )

        answers = list(self.pool.map(claim, transactions))
        statuses = [each.status for each in answers]
        claimed = [each for each, status in zip(transactions, statuses, strict=True) if status == 200]
        unknown = any(each.status in (0, UNAVAILABLE) or BUSY in each.body for each in answers)
        if len(claimed) > 1 or not (claimed or unknown):
            self._violate(item, f"three claims at once got {statuses}")
        elif claimed:
            item.states, item.transaction = {IN_PROGRESS}, claimed[0]
        else:
            item.states = {SCHEDULED, IN_PROGRESS}
            self.unusable.add(item.uid)

    def _perform(self, item: KnownWorkitem) -> None:
        target = f"/v2/partitions/{PARTITION}/workitems/{item.uid}?{item.transaction}"
        answer = self.requests.send(
            "workitem update",
            item.key,
            "POST",
            target,
            allowed=(200, 400, 404, 409),
            body=as_json([workitems.PERFORMED]),
            headers=DICOM_JSON,
        )
        if BUSY in answer.body:
            return
        if answer.status == 200:
            self._keep(item, item.states & {IN_PROGRESS}, answer)
            item.performed = {True}
        elif answer.status in (400, 404, 409):
            self._keep(item, item.states - {IN_PROGRESS}, answer)
        elif IN_PROGRESS in item.states:
            item.performed = item.performed | {True}

    def read(self, item: KnownWorkitem) -> None:
        """Retrieve a workitem and compare its state."""
        answer = self.requests.send(
            "workitem read", item.key, "GET", f"/v2/partitions/{PARTITION}/workitems/{item.uid}", allowed=(200, 404)
        )
        if answer.status == 404:
            self._keep(item, item.states & {ABSENT}, answer)
        elif answer.status == 200:
            self._keep(item, item.states & {value(answer.json(), "00741000")}, answer)

    def _keep(self, item: KnownWorkitem, states: set[str], answer: Answer) -> None:
        if not states:
            self._violate(item, f"{answer.status} {answer.body[:200]!r} in {item.states}")
        item.states = states or {ABSENT, SCHEDULED, IN_PROGRESS, COMPLETED, CANCELED}

    def _violate(self, item: KnownWorkitem, what: str) -> None:
        self.requests.journal.violate("a workitem is answered truthfully", item.key, what)
        item.states = {ABSENT, SCHEDULED, IN_PROGRESS, COMPLETED, CANCELED}
