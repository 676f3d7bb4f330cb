"""An engine whose ports fail on command: one table, one blob store and one queue for all tests of failures.

`Faults` wraps the ports of an engine. Every call to a wrapped port has two stages: BEFORE, when nothing is done yet,
and AFTER, when the call took effect but the caller does not know it. A `Rule` says which calls it matches, and what
happens at them. Without rules and without a hook, a wrapped port behaves like the port.

    faults = Faults()
    engine = faults.wrap(bootstrap.build_engine(settings))

    # The third write to a study fails. Nothing is written.
    faults.add(Rule(fail(), operation="table.write", key="*/study/*", nth=3))

    # The answer of the first write is lost. The write took effect.
    faults.add(Rule(fail(), operation="table.write", stage=AFTER))

    # The process ends at the seventh change, before it or after it took effect: odd numbers are before, even are after.
    rule = faults.add(kill_at(7))
    with suppress(Killed):
        act()
    assert rule.hits

    # Each partition key of the table takes ten units a second, like DynamoDB.
    faults.add(Rule(throttle(10), operation="table.*", times=FOR_EVER))

Operations are named by port and method: table.get, table.get_many, table.query, table.count, table.write, table.add,
blobs.put, blobs.open, blobs.delete, queue.send, queue.receive, queue.extend, queue.done, queue.check.

The key of a table item is `pk|sk` for a rule, and `pk|` in a query or a count. The key of a blob is its own. A queue
has the key "". Patterns are those of `fnmatch.fnmatchcase`; a rule matches a call if its pattern matches a key of it.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from typing import BinaryIO, Final, TypeVar

from app import bootstrap
from app.errors import Conflict, StorageUnavailable
from app.storage.table.ports import ALL, BlobStore, Change, Item, Key, Message, Put, Queue, Range, Table

T = TypeVar("T")

FOR_EVER: Final = 10**9
"""As `Rule.times`: the rule never ends by itself."""

MUTATIONS: Final = ("table.write", "table.add", "blobs.put", "blobs.delete")
"""The operations which change what is stored."""


class Killed(BaseException):
    """The process ends here, like after kill -9. It is no `Exception`, so that no error handling continues after it."""


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
    """1 for each key of a read, 1 for each started KB of a write. DynamoDB charges a transaction twice that."""

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


def nothing() -> Effect:
    """Do nothing. The `matched` of a rule with this effect counts its calls."""
    return lambda _: None


def run(act: Callable[[], object]) -> Effect:
    """Do something else at this point, for example let another process act. The call continues afterwards."""

    def effect(_: Call) -> None:
        act()

    return effect


def throttle(units_per_second: float, *, burst_seconds: float = 1, now: Callable[[], float] = time.monotonic) -> Effect:
    """Raise `StorageUnavailable` when a partition key gets more units than its token bucket holds.

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
                raise StorageUnavailable
            levels.update({bucket: (level - taken, moment) for bucket, level in filled.items()})

    return effect


def kill_at(number: int) -> Rule:
    """Return the rule that kills the process at the stage `number` of its changes, counted from 1.

    Odd numbers are before a change, even numbers are after it. A test counts upward until the rule hits no more.
    """
    return Rule(kill(), operation=MUTATIONS, stage=ANY, nth=number)


# --- the engine ---------------------------------------------------------------------------------------------------


class Faults:
    """The rules of one process, and what its ports were asked.

    `hook` is called with each stage of each call as text: `table.write`, then `table.write done`. It runs before the
    rules do. It may raise, wait, or let another thread continue. `tests/support/schedule.py` takes turns with it.
    """

    def __init__(self) -> None:
        self.hook: Callable[[str], None] | None = None
        self.calls: Counter[str] = Counter()
        """How often each operation was called. A test may clear it."""
        self.items_queried = 0
        """Items that queries returned."""
        self.keys_read = 0
        """Keys that get and get_many were asked for."""
        self.writes: list[tuple[Change, ...]] = []
        """The writes which took effect. Kept only after `record_writes`."""
        self.killed = False
        self._recording = False
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def add(self, rule: Rule) -> Rule:
        """Apply the rule from now on, after the rules before it. Return it."""
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Remove the rules and the hook. A killed process lives again."""
        with self._lock:
            self._rules.clear()
        self.hook = None
        self.revive()

    def revive(self) -> None:
        """Let calls pass again after `kill`, as if the process had been started again."""
        self.killed = False

    def record_writes(self) -> None:
        """Keep the changes of each write from now on in `writes`."""
        self._recording = True

    def wrap(self, engine: bootstrap.Engine) -> bootstrap.Engine:
        """Return the engine with its table, its blob store and its queue under these rules."""
        return dataclasses.replace(
            engine,
            table=FaultyTable(engine.table, self),
            blobs=FaultyBlobStore(engine.blobs, self),
            queue=FaultyQueue(engine.queue, self),
        )

    def around(self, operation: str, keys: Iterable[str], act: Callable[[], T], units: int = 1) -> T:
        """Do `act` as one call with both stages. Return its answer."""
        call = Call(operation, tuple(keys), Stage.BEFORE, units)
        self.meet(call)
        answer = act()
        self.meet(dataclasses.replace(call, stage=Stage.AFTER))
        return answer

    def meet(self, call: Call) -> None:
        """Count the call, announce it, and apply the rules which match it."""
        if self.killed:
            raise Killed
        if call.stage is Stage.BEFORE:
            with self._lock:
                self.calls[call.operation] += 1
        if self.hook:
            self.hook(str(call))
        with self._lock:
            effects = [rule.effect for rule in self._rules if rule.takes(call)]
        try:
            for effect in effects:
                effect(call)
        except Killed:
            self.killed = True
            raise

    @property
    def items_read(self) -> int:
        """Keys that were asked for, and items that queries returned."""
        return self.keys_read + self.items_queried

    def forget_reads(self) -> None:
        """Count reads from 0 again."""
        self.keys_read = self.items_queried = 0

    def read(self, *, keys: int = 0, items: int = 0) -> None:
        """Count keys that were asked for, and items that a query returned."""
        with self._lock:
            self.keys_read += keys
            self.items_queried += items

    def wrote(self, changes: tuple[Change, ...]) -> None:
        """Keep a write that took effect, if writes are recorded."""
        if self._recording:
            self.writes.append(changes)


class FaultyTable:
    """A `Table` under the rules of `Faults`.

    A query has its BEFORE stage when its first item is taken, and its AFTER stage when its items are used up.
    """

    def __init__(self, table: Table, faults: Faults) -> None:
        self._table = table
        self._faults = faults

    def get(self, key: Key) -> Item | None:
        self._faults.read(keys=1)
        return self._faults.around("table.get", (_text(key),), lambda: self._table.get(key))

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        self._faults.read(keys=len(keys))
        names = map(_text, keys)
        return self._faults.around("table.get_many", names, lambda: self._table.get_many(keys), max(1, len(keys)))

    def query(
        self, pk: str, between: Range = ALL, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[Item]:
        call = Call("table.query", (f"{pk}|",), Stage.BEFORE)
        self._faults.meet(call)
        for item in self._table.query(pk, between, reverse=reverse, limit=limit):
            self._faults.read(items=1)
            yield item
        self._faults.meet(dataclasses.replace(call, stage=Stage.AFTER))

    def count(self, pk: str, between: Range = ALL) -> int:
        return self._faults.around("table.count", (f"{pk}|",), lambda: self._table.count(pk, between))

    def write(self, *changes: Change) -> None:
        def act() -> None:
            self._table.write(*changes)
            self._faults.wrote(changes)

        self._faults.around("table.write", (_text(change.key) for change in changes), act, _units(changes))

    def add(self, key: Key, counter: str, by: int) -> int:
        return self._faults.around("table.add", (_text(key),), lambda: self._table.add(key, counter, by))


class FaultyBlobStore:
    """A `BlobStore` under the rules of `Faults`. A deletion of several blobs is one call."""

    def __init__(self, blobs: BlobStore, faults: Faults) -> None:
        self._blobs = blobs
        self._faults = faults

    def put(self, key: str, body: BinaryIO) -> int:
        return self._faults.around("blobs.put", (key,), lambda: self._blobs.put(key, body))

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        return self._faults.around("blobs.open", (key,), lambda: self._blobs.open(key, start, length))

    def delete(self, keys: Iterable[str]) -> None:
        given = list(keys)
        self._faults.around("blobs.delete", given, lambda: self._blobs.delete(given))


class FaultyQueue:
    """A `Queue` under the rules of `Faults`."""

    def __init__(self, queue: Queue, faults: Faults) -> None:
        self._queue = queue
        self._faults = faults

    def send(self, body: str, delay: int = 0) -> None:
        self._faults.around("queue.send", ("",), lambda: self._queue.send(body, delay))

    def receive(self, wait: float = 0) -> Message | None:
        return self._faults.around("queue.receive", ("",), lambda: self._queue.receive(wait))

    def extend(self, message: Message, seconds: int) -> Message:
        return self._faults.around("queue.extend", ("",), lambda: self._queue.extend(message, seconds))

    def done(self, message: Message) -> None:
        self._faults.around("queue.done", ("",), lambda: self._queue.done(message))

    def check(self) -> None:
        self._faults.around("queue.check", ("",), self._queue.check)


def _text(key: Key) -> str:
    return f"{key.pk}|{key.sk}"


def _units(changes: Sequence[Change]) -> int:
    sizes = (len(change.item.data) // 1024 if isinstance(change, Put) else 0 for change in changes)
    return sum(1 + size for size in sizes) * (1 if len(changes) == 1 else 2)
