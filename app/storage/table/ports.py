"""The ports of the archive: table, blob store, queue. Engines implement them. Only bootstrap knows which engine runs.

A `Table` holds items under `(pk, sk)`. Within one `pk` they are ordered by the bytes of `sk` (UTF-8). Reads are
strongly consistent. A write has at most `MAX_CHANGES` changes, and all of them are applied or none. A `BlobStore` holds
immutable objects.

Only these errors cross a port: `Conflict`, `BlobMissing`, `StorageUnavailable` (app/errors.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, Final, NamedTuple, Protocol

MAX_CHANGES: Final = 100
"""The most changes in one write. It is the limit of DynamoDB's TransactWriteItems."""

MAX_WRITE_BYTES: Final = 4_000_000
"""The most bytes of all items in one write. DynamoDB refuses a transaction of more than 4 MB."""

MAX_ITEM_BYTES: Final = 350_000
"""The most bytes of one item, fields and data together. DynamoDB refuses 400 KB. A larger document becomes a blob."""


class Key(NamedTuple):
    """The key of an item. `storage/table/keys.py` makes every key."""

    pk: str
    sk: str


class Item(NamedTuple):
    """One item: small `fields` (str, int, bool, list, dict; no floats, no None) and opaque bytes, `data`.

    A tuple in `fields` is stored as a list.
    """

    key: Key
    fields: dict[str, Any]
    data: bytes = b""


class Range(NamedTuple):
    """Sort keys from `low` to `high`, both inclusive. An empty bound leaves that side open."""

    low: str = ""
    high: str = ""


ALL: Final = Range()


def starting(prefix: str) -> Range:
    """The range of every sort key that starts with `prefix`."""
    return Range(prefix, prefix + "\U0010ffff")


# --- expectations and changes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Absent:
    """The key must have no item."""


@dataclass(frozen=True, slots=True)
class Present:
    """The key must have an item."""


@dataclass(frozen=True, slots=True)
class Holds:
    """The key must have an item whose top-level field `field` equals `value`."""

    field: str
    value: str | int


Expectation = Absent | Present | Holds


@dataclass(frozen=True, slots=True)
class Put:
    """Write the item, and replace the one under its key if there is one."""

    item: Item
    expect: Expectation | None = None

    @property
    def key(self) -> Key:
        return self.item.key


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the item if there is one."""

    key: Key
    expect: Expectation | None = None


@dataclass(frozen=True, slots=True)
class Require:
    """Change nothing, but fail the whole write unless the expectation holds."""

    key: Key
    expect: Expectation


@dataclass(frozen=True, slots=True)
class Add:
    """Add each number of `by` to the integer field of its name, and create the item if there is none.

    A missing field counts as 0. A field may become negative. Two writes that add to one item at the same time both
    take effect. On DynamoDB one of them may have to be repeated by the engine. An addition has no expectation.
    """

    key: Key
    by: Mapping[str, int]

    expect: ClassVar[None] = None


Change = Put | Delete | Require | Add

PlainChange = Put | Delete
"""A change without an expectation, where a call takes such changes only."""


class Table(Protocol):
    """Items under (pk, sk). Within one pk they are ordered by the bytes of sk."""

    def get(self, key: Key) -> Item | None:
        """Return the item, or None."""
        ...

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """Return one entry for each key, in the order of `keys`. Any number of keys, repeated ones too."""
        ...

    def query(
        self, pk: str, between: Range = ALL, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[Item]:
        """Yield the items of `pk` in `between`, in the order of their sort keys, at most `limit` of them.

        Items are read page by page, so later pages may contain writes that were made meanwhile. No key is yielded twice
        or out of order.
        """
        ...

    def count(self, pk: str, between: Range = ALL) -> int:
        """Return the number of items that `query` would yield, without reading their contents."""
        ...

    def items(self, after: Key | None = None) -> Iterator[Item]:
        """Yield every item of the table, in an order of the engine. Begin after the item `after`, which may be gone.

        An item that is written or removed meanwhile may be yielded or not. No other item is left out.
        """
        ...

    def write(self, *changes: Change, before: Sequence[PlainChange] = (), after: Sequence[Delete] = ()) -> None:
        """Apply up to MAX_CHANGES changes, all or none of them, durably. No two may have the same key.

        `before` and `after` are any number of changes without expectations. They need not be all or nothing. Their
        keys differ from each other and from those of `changes`. On DynamoDB they cost half as much. Those of `before`
        take effect no later than `changes`. If the call raises an error, or the process dies, any of them may have
        taken effect. The deletions of `after` take effect no earlier than `changes`. If the process dies, some of them
        may be missing, and their failure is not raised. So a record of the caller must name what may be left.

        Raises `Conflict` with the key of an expectation that does not hold. Then none of `changes` was applied.
        """
        ...

    def write_each(self, changes: Iterable[PlainChange], *, durable: bool = True) -> None:
        """Apply changes without expectations, in any order, any number of them. No two may have the same key.

        If the call raises an error, or the process dies, any of them may have taken effect. With `durable` all of them
        are on disk when this returns. Without it they are visible, survive a kill -9, and are on disk at the latest
        when a later `write` returns.
        """
        ...

    def add(self, key: Key, counter: str, by: int) -> int:
        """Add `by` to an integer field and return the new value. A missing field counts as 0. Atomic.

        Two callers never get the same value, even if processes die. The new value may become durable only with the next
        `write`: after a power loss a counter may have an older value again, but never one below a value in a durable
        write.
        """
        ...


class StoredBlob(NamedTuple):
    """An object of a blob store. `size` is in bytes, `modified` is the time of its `put` in seconds since 1970."""

    key: str
    size: int
    modified: float


class BlobStore(Protocol):
    """Immutable objects under string keys with `/` between their parts. `storage/table/keys.py` makes the keys."""

    def put(self, key: str, body: BinaryIO) -> int:
        """Store `body` from its current position to its end. Return its size in bytes.

        The object is durable at the latest when a later `Table.write` of the same engine returns. It becomes visible
        when it is complete. Callers use a new key for each object; an object that the key
        has already may be replaced.
        """
        ...

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        """Return a stream over the object's bytes from `start`, at most `length` of them (None: to the end).

        The caller closes the stream. Raises `BlobMissing`. A local file comes unbuffered, with a usable `fileno` and
        its position at `start`, so that a server can use sendfile. Then the caller must respect `length` itself.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove the objects. A key without an object is no error."""
        ...

    def listed(self, prefix: str = "", after: str = "") -> Iterator[StoredBlob]:
        """Yield the objects whose keys start with `prefix` and are greater than `after`, in the order of their keys.

        The keys are compared by their bytes in UTF-8. `prefix` is empty or ends with `/`. An object that is stored or
        removed meanwhile may be yielded or not.
        """
        ...


class Message(NamedTuple):
    """A message that was received from a queue. Only the engine reads `receipt`."""

    body: str
    receipt: str


class Queue(Protocol):
    """Announcements of work. Each is delivered at least once, in any order. Losing one must do no harm.

    A received message is hidden from other receivers for a while, and is delivered again unless it is `done`. A message
    that was delivered many times becomes a dead message.
    """

    def send(self, body: str, delay: int = 0) -> None:
        """Send a message that is delivered after `delay` seconds (900 at most)."""
        ...

    def receive(self, wait: float = 0) -> Message | None:
        """Return a message, None if none arrives within `wait` seconds (20 at most)."""
        ...

    def extend(self, message: Message, seconds: int) -> Message:
        """Hide a received message for `seconds` from now. Return the message to use from then on."""
        ...

    def done(self, message: Message) -> None:
        """Remove a received message. A message that is gone already is no error."""
        ...

    def check(self) -> None:
        """Raise `StorageUnavailable` unless messages can be sent."""
        ...
