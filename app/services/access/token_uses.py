"""The times when tokens were last used, kept coarsely (conformance §13.6)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from app.errors import StorageError
from app.services.daemon_threads import start_thread
from app.storage.access.tokens import Token, TokenStore
from app.storage.table import clock

_INTERVAL_SECONDS: Final = 3600
_REMEMBERED: Final = 10_000
"""Tokens whose last write a process remembers. Beyond them, a time may be written more often."""


class TokenUses:
    """Writes the time of the last use of each token, at most once an hour in each process.

    A thread writes it, so no request waits for the write or fails with it. A time that could not be written is written
    with the next use. A kill -9 loses the times that were not written yet.
    """

    def __init__(self, store: TokenStore, now: Callable[[], float] = lambda: clock.now()) -> None:
        self._store = store
        self._now = now
        self._lock = threading.Lock()  # protects the fields below
        self._written: dict[str, float] = {}
        self._waiting: list[tuple[Token, int]] = []
        self._is_writing = False

    def note(self, token: Token) -> None:
        """Take down that the token was used now."""
        now = self._now()
        with self._lock:
            if now < self._written.get(token.id, 0) + _INTERVAL_SECONDS:
                return
            if len(self._written) >= _REMEMBERED:
                self._written.clear()
            self._written[token.id] = now
            self._waiting.append((token, int(now)))
            if self._is_writing:
                return
            self._is_writing = True
        if not start_thread("token uses", self._write_all):
            with self._lock:
                self._is_writing = False

    def _write_all(self) -> None:
        while (waiting := self._next()) is not None:
            token, used = waiting
            try:
                self._store.record_use(token, used)
            except StorageError:
                with self._lock:
                    self._written.pop(token.id, None)

    def _next(self) -> tuple[Token, int] | None:
        with self._lock:
            self._is_writing = bool(self._waiting)
            return self._waiting.pop() if self._waiting else None
