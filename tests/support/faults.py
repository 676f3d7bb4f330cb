"""Rules for the calls that fail, and what happens at them. `Faults` in `faulty_engine.py` applies them.

Every call to a port has two stages: BEFORE, when nothing is done yet, and AFTER, when the call took effect but its
caller does not know it. A `Rule` says which stages of which calls it matches, and an `Effect` says what happens then.

Operations are named by port and method: table.get, table.get_many, table.query, table.count, table.write, table.add,
blobs.put, blobs.open, blobs.delete, queue.send, queue.receive, queue.extend, queue.done, queue.check.

The key of a table item is `pk|sk` for a rule, and `pk|` in a query or a count. The key of a blob is its own. A queue
has the key "". Patterns are those of `fnmatch.fnmatchcase`; a rule matches a call if its pattern matches a key of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from typing import Final, TypeVar

from app.errors import Conflict, StorageUnavailable, Throttled
from app.storage.table.ports import Key

T = TypeVar("T")

FOR_EVER: Final = 10**9
"""As `Rule.times`: the rule never ends by itself."""

MUTATIONS: Final = ("table.write", "table.write_each", "table.add", "blobs.put", "blobs.delete")
"""The operations which change what is stored."""


class Killed(BaseException):
    """The process ends here, like after kill -9. It is no `Exception`, so that no error handling continues after it."""


class Truncation(Exception):
    """A blob is read only up to `after` bytes. `FaultyBlobStore` catches this and never lets a caller see it.

    A stream that is `broken` raises StorageUnavailable there. Another one ends there, like a damaged file. A body that
    is put is never stored.
    """

    def __init__(self, after: int, *, broken: bool) -> None:
        super().__init__()
        self.after = after
        self.broken = broken


class Stage(Enum):
    """Before a call takes effect, or after it did."""

    BEFORE = "before"
    AFTER = "after"


BEFORE: Final = (Stage.BEFORE,)
AFTER: Final = (Stage.AFTER,)
ANY: Final = (Stage.BEFORE, Stage.AFTER)


@dataclass(frozen=True, slots=True)
class Call:
    """One stage of one call to a port."""

    operation: str
    keys: tuple[str, ...]
    stage: Stage
    units: int = 1
    """Each key of a read, a query, a count and an `add` is 1. Each started KB of a write is 1, in a transaction 2."""

    def __str__(self) -> str:
        """Return what a hook gets: `table.write` before the call, `table.write done` after it."""
        return self.operation if self.stage is Stage.BEFORE else f"{self.operation} done"


Effect = Callable[[Call], None]
"""What happens at a call which a rule matches: it raises, or waits, or does something else first."""


@dataclass(slots=True)
class Rule:
    """Applies `effect` to the matching calls from the `nth` on (the first is 1), to `times` of them.

    With `stage=ANY` both stages of a call count, so `nth=1` is before the first call and `nth=2` is after it.
    `matched` and `hits` are results: how many stages matched so far, and how often the effect was applied.
    """

    effect: Effect
    operation: str | Sequence[str] = "*"
    key: str = "*"
    stage: Sequence[Stage] = BEFORE
    nth: int = 1
    times: int = 1
    matched: int = field(default=0, init=False)
    hits: int = field(default=0, init=False)

    def takes(self, call: Call) -> bool:
        """Count the call if it matches, and return whether the effect applies to it."""
        patterns = (self.operation,) if isinstance(self.operation, str) else self.operation
        if call.stage not in self.stage or not any(fnmatchcase(call.operation, pattern) for pattern in patterns):
            return False
        if not any(fnmatchcase(key, self.key) for key in call.keys):
            return False
        self.matched += 1
        applies = self.nth <= self.matched < self.nth + self.times
        self.hits += applies
        return applies


# --- effects ------------------------------------------------------------------------------------------------------


def fail(error: Exception | None = None) -> Effect:
    """Raise the error, `StorageUnavailable` by default."""

    def effect(_: Call) -> None:
        raise error or StorageUnavailable

    return effect


def conflict() -> Effect:
    """Raise `Conflict` with the first key of the call, as if another writer had been faster."""

    def effect(call: Call) -> None:
        raise Conflict(Key(*call.keys[0].split("|", 1)))

    return effect


def contention() -> Effect:
    """Raise `Conflict` without a key. DynamoDB refuses a write so while another transaction writes the same item."""
    return fail(Conflict(None))


def kill() -> Effect:
    """End the process. Every later call through the same `Faults` raises `Killed` too, until `revive`."""

    def effect(_: Call) -> None:
        raise Killed

    return effect


def delay(seconds: float) -> Effect:
    """Wait."""
    return lambda _: time.sleep(seconds)


def break_off(after: int) -> Effect:
    """Let the reading of a blob fail after so many bytes. Use it with blobs.put, or with blobs.open and `AFTER`."""

    def effect(_: Call) -> None:
        raise Truncation(after, broken=True)

    return effect


def truncate(after: int) -> Effect:
    """Let the stream of a blob end after so many bytes. Use it with blobs.open and `AFTER`."""

    def effect(_: Call) -> None:
        raise Truncation(after, broken=False)

    return effect


def nothing() -> Effect:
    """Do nothing. The `matched` of a rule with this effect counts its calls."""
    return lambda _: None


def run(act: Callable[[], object]) -> Effect:
    """Do something else at this point, for example let another process act. The call continues afterwards."""

    def effect(_: Call) -> None:
        act()

    return effect


def throttle(units_per_second: float, *, burst_seconds: float = 1, now: Callable[[], float] = time.monotonic) -> Effect:
    """Raise `Throttled` when a partition key gets more units than its token bucket holds.

    There is one bucket for each partition key of a table and one for each blob key. A bucket is full at first: it
    holds the units of `burst_seconds`, and it is filled with `units_per_second`. A call which is refused takes no
    units. A call on several partition keys takes its units from each of their buckets, or none at all. A call of more
    units than a bucket can hold is accepted when the bucket is full.

    Use it with `stage=BEFORE` and `times=FOR_EVER`.
    """
    capacity = units_per_second * burst_seconds
    lock = threading.Lock()
    levels: dict[str, tuple[float, float]] = {}

    def effect(call: Call) -> None:
        buckets = {key.partition("|")[0] for key in call.keys}
        with lock:
            moment = now()
            filled = {}
            for bucket in buckets:
                level, since = levels.get(bucket, (capacity, moment))
                filled[bucket] = min(capacity, level + (moment - since) * units_per_second)
            taken = min(call.units / len(buckets), capacity)
            if any(level < taken for level in filled.values()):
                raise Throttled
            levels.update({bucket: (level - taken, moment) for bucket, level in filled.items()})

    return effect


def kill_at(number: int) -> Rule:
    """Return the rule that kills the process at the stage `number` of its changes, counted from 1.

    Odd numbers are before a change, even numbers are after it. A test counts upward until the rule hits no more.
    """
    return Rule(kill(), operation=MUTATIONS, stage=ANY, nth=number)
