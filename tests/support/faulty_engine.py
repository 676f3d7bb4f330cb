"""An engine whose ports fail on command: one table, one blob store and one queue for all tests of failures.

`Faults` wraps the ports of an engine. Without rules and without a hook, a wrapped port behaves like the port.

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

    # One of 50 writes conflicts, one of 100 calls fails. The same seed draws the same faults.
    drawn = RandomFaults(7, {Fault.CONFLICT: 0.02, Fault.FAIL_BEFORE: 0.01})
    faults.add(drawn.rule())

The names of operations and the patterns of keys are in `faults.py`, `RandomFaults` is in `random_faults.py`. In tests
with the fixture `engine`, `client` or `serve`, the fixture `faults` is the `Faults` of that engine.
"""

from __future__ import annotations

import dataclasses
import io
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import BinaryIO, TypeVar, cast

from app import bootstrap
from app.errors import StorageError, StorageUnavailable
from app.storage.table.ports import (
    ALL,
    BlobStore,
    Change,
    Delete,
    Item,
    Key,
    Message,
    PlainChange,
    Put,
    Queue,
    Range,
    StoredBlob,
    Table,
)
from tests.support.faults import Call, Killed, Rule, Stage, Truncation

T = TypeVar("T")


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
            writes_at_once=False,  # a write of the table is several calls, and faults may come between them
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
    `whole_writes` says that a write with all of its parts is one call, as it is on the embedded engine.
    """

    def __init__(self, table: Table, faults: Faults, *, whole_writes: bool = False) -> None:
        self._table = table
        self._faults = faults
        self._whole_writes = whole_writes

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

    def items(self, after: Key | None = None) -> Iterator[Item]:
        return self._table.items(after)

    def write(self, *changes: Change, before: Sequence[PlainChange] = (), after: Sequence[Delete] = ()) -> None:
        """Make one call for each part of the write, as DynamoDB does, so that a process may end between two parts."""

        def act() -> None:
            if self._whole_writes:
                self._table.write(*changes, before=before, after=after)
            else:
                self._table.write(*changes)
            self._faults.wrote((*before, *changes, *after))

        if before and not self._whole_writes:
            self.write_each(before)
        self._faults.around("table.write", (_text(change.key) for change in changes), act, _units(changes))
        if after and not self._whole_writes:
            with suppress(StorageError):
                self.write_each(after)

    def write_each(self, changes: Iterable[PlainChange], *, durable: bool = True) -> None:
        """Apply the changes as one call."""
        plain = tuple(changes)
        act = partial(self._table.write_each, plain, durable=durable)
        self._faults.around("table.write_each", (_text(change.key) for change in plain), act, sum(map(_unit, plain)))

    def add(self, key: Key, counter: str, by: int) -> int:
        return self._faults.around("table.add", (_text(key),), lambda: self._table.add(key, counter, by))


class FaultyBlobStore:
    """A `BlobStore` under the rules of `Faults`. A deletion of several blobs is one call."""

    def __init__(self, blobs: BlobStore, faults: Faults) -> None:
        self.below = blobs
        self._faults = faults

    def put(self, key: str, body: BinaryIO) -> int:
        try:
            return self._faults.around("blobs.put", (key,), lambda: self.below.put(key, body))
        except Truncation as truncation:
            body.read(truncation.after)
            raise StorageUnavailable from truncation

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        call = Call("blobs.open", (key,), Stage.BEFORE)
        self._faults.meet(call)
        stream = self.below.open(key, start, length)
        try:
            self._faults.meet(dataclasses.replace(call, stage=Stage.AFTER))
        except Truncation as truncation:
            return cast(BinaryIO, io.BufferedReader(TruncatedStream(stream, truncation)))
        except BaseException:
            stream.close()
            raise
        return stream

    def delete(self, keys: Iterable[str]) -> None:
        given = list(keys)
        self._faults.around("blobs.delete", given, lambda: self.below.delete(given))

    def listed(self, prefix: str = "", after: str = "") -> Iterator[StoredBlob]:
        return self.below.listed(prefix, after)


class TruncatedStream(io.RawIOBase):
    """The first bytes of another stream. It has no file descriptor, so a server cannot send it with sendfile."""

    def __init__(self, stream: BinaryIO, truncation: Truncation) -> None:
        super().__init__()
        self._stream = stream
        self._left = truncation.after
        self._broken = truncation.broken

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # a buffer has no type
        if not self._left and self._broken and self._stream.read(1):
            raise StorageUnavailable
        chunk = self._stream.read(min(len(buffer), self._left))
        self._left -= len(chunk)
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self._stream.close()
        super().close()


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
    return sum(map(_unit, changes)) * (1 if len(changes) == 1 else 2)


def _unit(change: Change) -> int:
    return 1 + (len(change.item.data) // 1024 if isinstance(change, Put) else 0)
