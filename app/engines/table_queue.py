"""The `Queue` port on items of the table: for the embedded engine, and for the aws engine without an SQS queue.

The sort key of a message begins with the time when it is due. A receiver moves the message to a later time with one
conditional write, so only one receiver gets it. After a kill -9 of the receiver, the message is due again at that time.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Final

from app.errors import Conflict
from app.storage.table import clock, keys
from app.storage.table.ports import Delete, Item, Key, Message, Present, Put, Table

HIDDEN_SECONDS: Final = 300
"""How long a received message is hidden from others."""

MAX_RECEIVES: Final = 5
"""How often a message is delivered before it is moved to the dead letters, as SQS does."""

_POLL_SECONDS: Final = 0.25
_BATCH: Final = 10


class TableQueue:
    """A queue in the rows of `table`."""

    def __init__(
        self, table: Table, now: Callable[[], float] = lambda: clock.now(), sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = table
        self._now = now
        self._sleep = sleep

    def send(self, body: str, delay: int = 0) -> None:
        """Send a message that is due after `delay` seconds. It is durable when this returns."""
        self._table.write(Put(Item(self._due_in(delay, uuid.uuid4().hex), {"body": body, "receives": 0})))

    def receive(self, wait: float = 0) -> Message | None:
        """Return a message that is due, or None after `wait` seconds. The table is read four times a second."""
        until = self._now() + wait
        while True:
            message = self._first_due()
            left = until - self._now()
            if message or left <= 0:
                return message
            self._sleep(min(left, _POLL_SECONDS))

    def extend(self, message: Message, seconds: int) -> Message:
        """Hide a received message for `seconds` from now. This has no effect if another receiver has got it since."""
        key = Key(keys.QUEUE, message.receipt)
        item = self._table.get(key)
        return (item and self._move(item, self._due_in(seconds, _id(key)), item.fields["receives"])) or message

    def done(self, message: Message) -> None:
        """Remove a received message."""
        self._table.write(Delete(Key(keys.QUEUE, message.receipt)))

    def check(self) -> None:
        """Write to the table. On a full disk it can still be read, so a read would prove nothing."""
        self._table.write(Put(Item(keys.QUEUE_CHECK, {})))

    def _first_due(self) -> Message | None:
        for item in self._table.query(keys.QUEUE, keys.queued_by(self._milliseconds()), limit=_BATCH):
            receives = item.fields["receives"] + 1
            if receives > MAX_RECEIVES:
                self._move(item, keys.dead_message(_id(item.key)), receives)
            elif message := self._move(item, self._due_in(HIDDEN_SECONDS, _id(item.key)), receives):
                return message
        return None

    def _move(self, item: Item, to: Key, receives: int) -> Message | None:
        """Move a message and return it with its new key. Return None if another receiver has moved it."""
        if to == item.key:  # extended twice within a millisecond
            return Message(item.fields["body"], to.sk)
        moved = Item(to, item.fields | {"receives": receives})
        try:
            self._table.write(Delete(item.key, Present()), Put(moved))
        except Conflict:
            return None
        return Message(item.fields["body"], to.sk)

    def _due_in(self, seconds: int, message: str) -> Key:
        return keys.queued(self._milliseconds() + 1000 * seconds, message)

    def _milliseconds(self) -> int:
        return int(1000 * self._now())


def _id(key: Key) -> str:
    return key.sk.rpartition("/")[2]
