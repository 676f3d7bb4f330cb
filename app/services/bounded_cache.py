"""A cache of immutable values with a limit for their size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

from app.metrics import CACHE_LOOKUPS

T = TypeVar("T")


class BoundedCache(Generic[T]):
    """Keeps the values that were used last, up to `limit` bytes in total. Threads may share it.

    `name` says in the metrics which cache it is.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._size = 0
        self._entries: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> T | None:
        """Return the value of a key, None if it is not kept."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
        CACHE_LOOKUPS.add(self._name, "miss" if entry is None else "hit")
        return None if entry is None else entry[0]

    def put(self, key: Hashable, value: T, size: int) -> None:
        """Keep a value of `size` bytes. A value that is larger than the limit is not kept."""
        if size > self._limit:
            return
        with self._lock:
            _, replaced = self._entries.pop(key, (None, 0))
            self._entries[key] = (value, size)
            self._size += size - replaced
            while self._size > self._limit:
                _, (_, removed) = self._entries.popitem(last=False)
                self._size -= removed

    def clear(self) -> None:
        """Keep no value any more."""
        with self._lock:
            self._entries.clear()
            self._size = 0
