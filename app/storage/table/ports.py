"""The small ports the archive is written on. Engines implement them; nothing else knows which engine runs.

A `Table` holds items under `(pk, sk)`; within one `pk` they are ordered by `sk`, bytewise (UTF-8). Reads are strongly
consistent. A write is all or nothing, of at most `MAX_CHANGES` changes. A `BlobStore` holds immutable objects.

Errors that cross a port: `Conflict`, `BlobMissing`, `StorageUnavailable` (app/errors.py), and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

MAX_CHANGES: Final = 100
"""Changes in one all-or-nothing write; DynamoDB's limit for TransactWriteItems."""

MAX_WRITE_BYTES: Final = 4_000_000
"""Bytes of all items in one write; DynamoDB refuses a transaction of more than 4 MB."""

MAX_ITEM_BYTES: Final = 350_000
"""What a caller may put into one item, fields and data together (DynamoDB refuses 400 KB); larger documents spill."""


class Key(NamedTuple):
    """Where an item lies. Every key is built in `storage/table/keys.py`."""

    pk: str
    sk: str


class Item(NamedTuple):
    """One item: small readable `fields` (str, int, bool, list, dict; no floats, no None) and one opaque `data`.

    A tuple in `fields` is stored as a list.
    """

    key: Key
    fields: dict[str, Any]
    data: bytes = b""


class Range(NamedTuple):
    """Sort keys from `low` to `high`, both inclusive; an empty `low` or `high` is open on that side."""

    low: str = ""
    high: str = ""


ALL: Final = Range()


def starting(prefix: str) -> Range:
    """The range of every sort key that starts with `prefix`."""
    return Range(prefix, prefix + "\U0010ffff")


# --- expectations and changes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Absent:
    """No item may lie under the key."""


@dataclass(frozen=True, slots=True)
class Present:
    """An item must lie under the key."""


@dataclass(frozen=True, slots=True)
class Holds:
    """An item must lie under the key, and its top-level field `field` must equal `value`."""

    field: str
    value: str | int


Expectation = Absent | Present | Holds


@dataclass(frozen=True, slots=True)
class Put:
    """Write the item whole, replacing what was there."""

    item: Item
    expect: Expectation | None = None

    @property
    def key(self) -> Key:
        return self.item.key


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the item if it is there."""

    key: Key
    expect: Expectation | None = None


@dataclass(frozen=True, slots=True)
class Require:
    """Write nothing, but let the whole write fail unless the expectation holds."""

    key: Key
    expect: Expectation


Change = Put | Delete | Require


class Table(Protocol):
    """Items under (pk, sk); within one pk they are ordered by sk, bytewise."""

    def get(self, key: Key) -> Item | None:
        """Return the item, or None."""
        ...

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """Return one entry for each key, in the order of `keys`; any number of keys, repeats allowed."""
        ...

    def query(
        self, pk: str, between: Range = ALL, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[Item]:
        """Yield the items of `pk` in `between` in sort-key order, paging as it goes; at most `limit` of them.

        Iterating lazily is allowed to see writes made meanwhile; it never yields a key twice nor out of order.
        """
        ...

    def count(self, pk: str, between: Range = ALL) -> int:
        """Return how many items `query` would yield, without fetching them."""
        ...

    def write(self, *changes: Change) -> None:
        """Apply up to MAX_CHANGES changes, all or nothing and durably; no two may name one key.

        Raises `Conflict` naming the key of an expectation that did not hold; then nothing was written.
        """
        ...

    def add(self, key: Key, counter: str, by: int) -> int:
        """Add `by` to an integer field, starting from 0 where there is none; return the new value. Atomic.

        Two callers never get the same value, whatever dies. Not necessarily durable until the next `write`: after a
        power loss a counter may fall back to a value that no durable write has seen.
        """
        ...


class BlobStore(Protocol):
    """Immutable objects under string keys (`/`-separated, built in `storage/table/keys.py`)."""

    def put(self, key: str, body: BinaryIO) -> int:
        """Store the whole of `body` from its current position and return its size in bytes, durably.

        Nothing is visible under `key` before everything is; keys are fresh, an existing object may be replaced.
        """
        ...

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        """Return a stream over the object's bytes from `start`, `length` of them at most (None: to the end).

        The caller closes it. Raises `BlobMissing`. A local file is returned unbuffered with a usable `fileno`, its
        position at `start`, so a server may send it with sendfile (the length bound is then the caller's to keep).
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove the objects; keys with no object are passed over."""
        ...


class Message(NamedTuple):
    """An announcement taken from a queue; `receipt` is the engine's own."""

    body: str
    receipt: str


class Queue(Protocol):
    """Announcements of work. Each is delivered at least once, in no order; a lost one must do no harm either.

    A message received is hidden from others for a while and comes back unless it is `done`; one that keeps coming back
    is set aside in the end.
    """

    def send(self, body: str, delay: int = 0) -> None:
        """Announce, after `delay` seconds (900 at most)."""
        ...

    def receive(self, wait: float = 0) -> Message | None:
        """Return a message, waiting up to `wait` seconds for one (20 at most); None if there is none."""
        ...

    def extend(self, message: Message, seconds: int) -> Message:
        """Hide a received message for `seconds` more from now on; return what stands for it from then on."""
        ...

    def done(self, message: Message) -> None:
        """Remove a received message; one that is gone already is passed over."""
        ...

    def check(self) -> None:
        """Raise `StorageUnavailable` unless announcements can be made."""
        ...
