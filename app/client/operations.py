"""Background operations of a server (conformance §9)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from time import sleep
from typing import Any, Final

from app.client.connection import ArchiveClient
from app.client.errors import InvalidAttribute, NotThere, UnexpectedAnswer

RUNNING: Final = frozenset({"notStarted", "running"})
SUCCEEDED: Final = frozenset({"succeeded", "completed"})

_ID: Final = re.compile(r"[0-9A-Fa-f-]{32,36}", re.ASCII)

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
"""Seconds between questions. The server asks for so many in Retry-After; short operations need fewer."""


def state(client: ArchiveClient, operation: str) -> dict[str, Any]:
    """Return the state of an operation. Raises `NotThere` with a text that names it."""
    if not _ID.fullmatch(operation):
        raise InvalidAttribute(f"'{operation}' is no ID of an operation: it has 32 hex digits.")
    try:
        found = client.json(f"/operations/{operation}", at_base=True)
    except NotThere as error:
        raise NotThere(error.status, f"There is no operation {operation} that you may see") from error
    if not isinstance(found, dict) or "status" not in found:
        raise UnexpectedAnswer(f"The answer of {client.url} is no operation: is it a Bulkhead server?")
    return found


def states(client: ArchiveClient, operation: str) -> Iterator[dict[str, Any]]:
    """Yield the state of an operation until it has ended. The last one is the state at its end."""
    pause = _FIRST_PAUSE
    while True:
        found = state(client, operation)
        yield found
        if found["status"] not in RUNNING:
            return
        sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def started(client: ArchiveClient, answer: Any) -> str:
    """Return the ID of the operation that an answer to its start names."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("id"), str):
        raise UnexpectedAnswer(f"The answer of {client.url} names no operation: is it a Bulkhead server?")
    return str(answer["id"])
