"""Faults drawn at random, and the same ones again for the same seed.

    drawn = RandomFaults(seed=7, rates={Fault.FAIL_BEFORE: 0.01, Fault.CONFLICT: 0.02, Fault.DELAY: 0.05})
    faults.add(drawn.rule())
    ...
    print(drawn.counts)

A fault is drawn for the n-th call of each operation by itself. So the n-th `table.write` of a process meets the same
fault in each run with a seed, whatever the calls of other threads to other operations are.

Each fault is one that a real engine has too. A random conflict names no key: DynamoDB refuses a write so while another
transaction writes the same item. A conflict that names a key would claim that its expectation does not hold.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from enum import Enum
from typing import Final

from app.errors import Conflict, StorageUnavailable, Throttled
from tests.support.faults import ANY, FOR_EVER, MUTATIONS, Call, Rule, Stage, Truncation

LONGEST_DELAY: Final = 0.2
"""Seconds, if a campaign names no other."""

_LARGEST_EXPONENT: Final = 22
"""A body is cut after 0 to 4 MiB. Small numbers of bytes are as frequent as large ones."""

_WRITES: Final = frozenset({"table.write", "table.add"})
_QUEUE: Final = frozenset({"queue.send", "queue.receive", "queue.extend", "queue.done"})
_TABLE: Final = frozenset({*_WRITES, "table.write_each", "table.get", "table.get_many", "table.query", "table.count"})
_ALL: Final = _TABLE | _QUEUE | {"blobs.open", *MUTATIONS}


class Fault(Enum):
    """What may happen to a call."""

    FAIL_BEFORE = "fail before"
    """The call has no effect and fails."""
    FAIL_AFTER = "fail after"
    """The call takes effect and fails, as if its answer were lost."""
    CONFLICT = "conflict"
    """A write meets another transaction. It has no effect."""
    THROTTLE = "throttle"
    """The table accepts no more calls for now. The call has no effect."""
    DELAY = "delay"
    """The call, or its answer, takes longer."""
    BREAK_OFF = "break off"
    """The reading of a blob, or of the body that is put, fails in the middle."""
    TRUNCATE = "truncate"
    """The stream of a blob ends too early, like a damaged file."""


_STAGES: Final[Mapping[Fault, tuple[tuple[Stage, frozenset[str]], ...]]] = {
    Fault.FAIL_BEFORE: ((Stage.BEFORE, _ALL),),
    Fault.FAIL_AFTER: ((Stage.AFTER, _QUEUE | {*MUTATIONS}),),
    Fault.CONFLICT: ((Stage.BEFORE, _WRITES),),
    Fault.THROTTLE: ((Stage.BEFORE, _TABLE),),
    Fault.DELAY: ((Stage.BEFORE, _ALL), (Stage.AFTER, _ALL)),
    Fault.BREAK_OFF: ((Stage.BEFORE, frozenset({"blobs.put"})), (Stage.AFTER, frozenset({"blobs.open"}))),
    Fault.TRUNCATE: ((Stage.AFTER, frozenset({"blobs.open"})),),
}
"""At which stages of which operations each fault happens."""


class RandomFaults:
    """An effect for a `Rule`. `rates` are probabilities for each stage at which the fault may happen.

    `counts` says how often each fault happened, by fault and operation. A stage meets one fault at most.
    """

    def __init__(self, seed: int, rates: Mapping[Fault, float], *, longest_delay: float = LONGEST_DELAY) -> None:
        self.counts: Counter[tuple[Fault, str]] = Counter()
        self._seed = seed
        self._rates = dict(rates)
        self._longest_delay = longest_delay
        self._calls: Counter[tuple[str, Stage]] = Counter()
        self._lock = threading.Lock()

    def rule(self) -> Rule:
        """Return the rule that applies the faults to all calls from now on."""
        return Rule(self, stage=ANY, times=FOR_EVER)

    def __call__(self, call: Call) -> None:
        """Meet one stage of a call: return, wait, or raise."""
        with self._lock:
            self._calls[call.operation, call.stage] += 1
            number = self._calls[call.operation, call.stage]
        source = random.Random(f"{self._seed}/{call.operation}/{call.stage.value}/{number}")
        fault = self._draw(call, source)
        if fault is None:
            return
        with self._lock:
            self.counts[fault, call.operation] += 1
        self._apply(fault, source)

    def _draw(self, call: Call, source: random.Random) -> Fault | None:
        point = source.random()
        for fault, rate in self._rates.items():
            if any(call.stage is stage and call.operation in operations for stage, operations in _STAGES[fault]):
                if point < rate:
                    return fault
                point -= rate
        return None

    def _apply(self, fault: Fault, source: random.Random) -> None:
        match fault:
            case Fault.DELAY:
                time.sleep(source.uniform(0, self._longest_delay))
            case Fault.CONFLICT:
                raise Conflict(None)
            case Fault.THROTTLE:
                raise Throttled
            case Fault.BREAK_OFF | Fault.TRUNCATE:
                after = int(2 ** source.uniform(0, _LARGEST_EXPONENT)) - 1
                raise Truncation(after, broken=fault is Fault.BREAK_OFF)
            case _:
                raise StorageUnavailable
