"""What the clients know of the archive: for each instance the states that are possible after all answers so far.

An acknowledged store leaves one possible state. A store without an answer leaves two: absent, and stored. A later
answer excludes states again. If no state is left, an answer was wrong.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

ABSENT = None


class StoreOutcome(Enum):
    """What a client knows after the store of one instance."""

    STORED = "stored"
    EXISTS = "refused, it exists"
    UNKNOWN = "no answer, or the data store failed"


class DeleteOutcome(Enum):
    """What a client knows after a deletion."""

    DELETED = "deleted"
    NOT_FOUND = "not found"
    UNKNOWN = "no answer, or the data store failed"


class Stored(NamedTuple):
    """An instance that exists: the number of its body in `KnownInstance.bodies`, and of its last bulk update or 0."""

    body: int
    update: int = 0


State = Stored | None


@dataclass(slots=True, eq=False)
class KnownStudy:
    """A study of one client in one partition. Only one thread changes it.

    `number` determines the values of its searchable attributes. `busy` names what runs on it in the background.
    `frozen` means that a bulk update without an answer may change it at any time.
    """

    partition: str
    uid: str
    number: int
    instances: list[KnownInstance] = field(default_factory=list)
    updates: list[int] = field(default_factory=list)
    """The bulk updates that may have changed it, oldest first."""
    busy: str = ""
    frozen: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """The study in notes and in messages."""
        return self.partition, self.uid

    @property
    def path(self) -> str:
        return f"/v2/partitions/{self.partition}/studies/{self.uid}"

    @property
    def is_free(self) -> bool:
        """Whether nothing changes the study in the background, so that its client knows what it holds."""
        return not self.busy and not self.frozen

    def begin(self, operation: str) -> None:
        """Leave the study alone until the operation has ended."""
        self.busy = operation

    def end(self) -> None:
        """Use the study again."""
        self.busy = ""

    def freeze(self) -> None:
        """Leave the study alone for the rest of the run."""
        self.frozen = True

    def new_instance(self, series: str, uid: str) -> KnownInstance:
        """Return an instance that is not stored yet."""
        return KnownInstance(self, series, uid)

    @property
    def patient_id(self) -> str:
        """The Patient ID of the next instance: that of the last bulk update."""
        return patient_id(self.number, self.updates[-1] if self.updates else 0)


@dataclass(slots=True, eq=False)
class KnownInstance:
    """An instance that a client tried to store. `bodies` are the bytes that it sent under its UIDs.

    `events` are the entries that the change feed must have: C, U, D for sure, c, u, d perhaps.
    """

    study: KnownStudy
    series: str
    uid: str
    bodies: list[bytes] = field(default_factory=list)
    states: set[State] = field(default_factory=lambda: {ABSENT})
    events: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"{self.study.path}/series/{self.series}/instances/{self.uid}"

    @property
    def may_exist(self) -> bool:
        return self.states != {ABSENT}

    @property
    def must_exist(self) -> bool:
        return ABSENT not in self.states

    def stored(self, attempts: Iterable[tuple[int, StoreOutcome]]) -> bool:
        """Apply the outcomes of stores that ran at the same time: (number of the body, outcome). Return whether one of
        the states explains them."""
        outcomes = list(attempts)
        for _, outcome in outcomes:
            if outcome is StoreOutcome.STORED:
                self.events.append("C")
            elif outcome is StoreOutcome.UNKNOWN and ABSENT in self.states:
                self.events.append("c")
        return self._become(_after_stores(self.states, outcomes))

    def deleted(self, outcome: DeleteOutcome) -> bool:
        """Apply the outcome of a deletion of this instance. Return whether one of the states explains it."""
        if outcome is DeleteOutcome.NOT_FOUND:
            return self._become(self.states & {ABSENT})
        if self.may_exist:
            certain = outcome is DeleteOutcome.DELETED and self.must_exist
            self.events.append("D" if certain else "d")
        return self._become({ABSENT} if outcome is DeleteOutcome.DELETED else self.states | {ABSENT})

    def updated(self, update: int, *, certain: bool) -> None:
        """Apply a bulk update of the study."""
        if self.may_exist:
            self.events.append("U" if certain and self.must_exist else "u")
        after = {state and state._replace(update=update) for state in self.states}
        self.states = after if certain else self.states | after

    def seen(self, state: State) -> bool:
        """Apply that a reader found the instance in this state. Return whether it was possible."""
        return self._become(self.states & {state})

    def seen_to_exist(self) -> bool:
        """Apply that a reader found the instance. Return whether that was possible."""
        return self._become(self.states - {ABSENT})

    def explains(self, actions: Sequence[str]) -> bool:
        """Return whether the change feed may have these entries of the instance. Each action is C, U or D."""
        pattern = "".join(event.upper() + ("" if event.isupper() else "?") for event in self.events)
        text = "".join(actions)
        return bool(re.fullmatch(pattern, text)) and bool(re.fullmatch("(CU*D)*(CU*)?", text))

    def _become(self, states: Collection[State]) -> bool:
        if states:
            self.states = set(states)
            return True
        # The violation is reported once. From now on every state is possible.
        self.states = {
            ABSENT,
            *(Stored(number, update) for number in range(len(self.bodies)) for update in self._all()),
        }
        return False

    def _all(self) -> list[int]:
        return [0, *self.study.updates]


def _after_stores(states: Collection[State], outcomes: Sequence[tuple[int, StoreOutcome]]) -> set[State]:
    acknowledged = [body for body, outcome in outcomes if outcome is StoreOutcome.STORED]
    unknown = [body for body, outcome in outcomes if outcome is StoreOutcome.UNKNOWN]
    refused = any(outcome is StoreOutcome.EXISTS for _, outcome in outcomes)
    after: set[State] = set()
    for state in states:
        if state is not ABSENT:
            after |= set() if acknowledged else {state}
        elif acknowledged:
            after |= {Stored(acknowledged[0])} if len(acknowledged) == 1 else set()
        else:
            after |= {Stored(body) for body in unknown}
            after |= set() if refused else {ABSENT}
    return after


def patient_id(number: int, update: int = 0) -> str:
    """Return the Patient ID of a study: as it is stored, or as a bulk update changes it."""
    return f"P{number}-U{update}" if update else f"P{number}"
