"""The audit trail of one process: lines with numbers and digests (conformance §13.5)."""

from __future__ import annotations

import math
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from app.errors import AuditUnavailable
from app.services.audit.call import AuditedCall
from app.services.audit.digests import digest_of, seal
from app.storage.table.deadline import seconds_left

EXECUTING: Final = "Executing"
EXECUTED: Final = "Executed"

START: Final = "start"
STOP: Final = "stop"
DENIED: Final = "denied"
PARTITION_CREATE: Final = "partition-create"
"""Events that no route has."""

BEGINNING: Final = b'{"eventType":"AuditEvent",'
"""The first bytes of each audit line. No other line of the service begins with them."""

SHORTEST_WAIT_SECONDS: Final = 5.0
"""How long a request waits for the lines of other threads, also when its deadline has passed. A line takes
microseconds, unless the reader of standard error or the disk hangs."""

Append = Callable[[bytes], None]
"""Writes a whole line. Raises `AuditUnavailable`."""


class AuditTrail:
    """Writes the lines of this process. `append` is None if the service keeps no audit trail.

    The first line of a process is its `start`. Each line has a number and the digest of the line before it. So a line
    that is missing, changed, doubled or at another place is found. `key` is the secret of the digests.

    Lines are written by one thread at a time. A kill -9 loses at most the line that is being written.
    """

    def __init__(self, append: Append | None, *, key: bytes | None = None) -> None:
        self._append = append
        self._key = key
        self._lock = threading.Lock()
        self._owner = 0
        self._failed = False
        self._process = ""
        self._number = 0
        self._previous = ""

    def start(self) -> None:
        """Write the line `start`, unless this process has. The first event writes it too. Raises `AuditUnavailable`."""
        if self._append:
            with self._turn():
                self._begin(self._append)

    def stop(self) -> None:
        """Write the line `stop`, if this process wrote a line before. Raises `AuditUnavailable`."""
        if self._owner == os.getpid():
            self._write({"event": STOP, "phase": EXECUTED})

    def executing(self, call: AuditedCall) -> None:
        """Write the line before the action of a call. Raises `AuditUnavailable`: then the action must not follow."""
        self._write({"event": call.event, "phase": EXECUTING, **call.members()})

    def executed(self, call: AuditedCall, status: int) -> None:
        """Write the line after the answer is decided. Raises `AuditUnavailable`."""
        self._write({"event": call.event, "phase": EXECUTED, "status": status, **call.members()})

    def denied(self, call: AuditedCall, status: int) -> None:
        """Write the only line of a call that was denied. Its event is the member `call`. Raises `AuditUnavailable`."""
        members = {"event": DENIED, "phase": EXECUTED, "status": status, "call": call.event, **call.members()}
        self._write({name: value for name, value in members.items() if value != ""})

    def check(self) -> None:
        """Raise `AuditUnavailable` if the last line could not be written."""
        if self._failed:
            raise AuditUnavailable

    def _write(self, members: dict[str, Any]) -> None:
        if self._append:
            with self._turn():
                self._begin(self._append)
                self._write_next(self._append, members)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the lock. Raises `AuditUnavailable` if the lines of other threads are not written in time."""
        left = seconds_left()
        if not self._lock.acquire(timeout=-1 if math.isinf(left) else max(left, SHORTEST_WAIT_SECONDS)):
            self._failed = True
            raise AuditUnavailable
        try:
            yield
        finally:
            self._lock.release()

    def _begin(self, append: Append) -> None:
        """Begin the lines of this process. A process that was forked begins its own."""
        if self._owner == os.getpid():
            return
        self._process, self._number, self._previous = secrets.token_hex(8), 0, ""
        start = {"event": START, "phase": EXECUTED, "host": socket.gethostname(), "pid": os.getpid()}
        self._write_next(append, start)
        self._owner = os.getpid()

    def _write_next(self, append: Append, members: dict[str, Any]) -> None:
        """Write a line. Number and digest advance only if it could be written."""
        number = self._number + 1
        line: dict[str, Any] = {"eventType": "AuditEvent", "time": _now(), **members}
        line |= {"process": self._process, "line": number}
        if self._previous:
            line["previous"] = self._previous
        content = _encode(line)
        digest = digest_of(content, self._key)
        try:
            append(seal(content, digest))
        except AuditUnavailable:
            self._failed = True
            raise
        self._failed = False
        self._number, self._previous = number, digest


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _encode(line: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(line)
    except TypeError:  # a text of a caller has half of a surrogate pair
        return orjson.dumps(_without_surrogates(line))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {name: _without_surrogates(each) for name, each in value.items()}
    return value
