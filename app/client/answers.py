"""What an answer means: nothing to report, or an error with the text of the server."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import httpx
import orjson

from app.client.errors import (
    ClientError,
    CredentialsRefused,
    NotThere,
    PartitionRefused,
    Refused,
    RightMissing,
    ServerFailed,
    UnexpectedAnswer,
)

PARTITIONS_ARE_OFF: Final = "Data partitions capability is disabled."
_PARTITION_TEXTS: Final = frozenset({PARTITIONS_ARE_OFF, "PartitionName value is missing in the route segment."})
"""What a server says of a path with a partition, or without one, that does not suit it (conformance §2.4)."""
_LONGEST_TEXT: Final = 300


def check(answer: httpx.Response) -> None:
    """Raise the error that the status of an answer means. Statuses below 300 mean none."""
    status = answer.status_code
    if status < 300:
        return
    if status < 400:
        elsewhere = answer.headers.get("Location", "another address")
        raise UnexpectedAnswer(f"The server redirects to {elsewhere}: name that address with --url.")
    raise error_of(status, _text(answer))


def error_of(status: int, text: str) -> ClientError:
    """Return the error that the status of an answer means. `text` is what the server says."""
    if status == 400 and text in _PARTITION_TEXTS:
        return PartitionRefused(status, text)
    kinds: dict[int, type[Refused]] = {401: CredentialsRefused, 403: RightMissing, 404: NotThere}
    return kinds.get(status, ServerFailed if status >= 500 else Refused)(status, text)


def _text(answer: httpx.Response) -> str:
    """Return the reason in the body of an error, in one line. The body is text, or JSON with a message."""
    try:
        answer.read()
    except httpx.TransportError:
        return ""
    kind = answer.headers.get("Content-Type", "")
    if kind.startswith("text/html"):
        return answer.reason_phrase
    text = answer.text
    if "json" in kind:
        with suppress(orjson.JSONDecodeError, KeyError, TypeError):
            document = orjson.loads(answer.content)
            # The texts of the worklist are JSON strings.
            text = document if isinstance(document, str) else str(document["error"]["message"])
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= _LONGEST_TEXT else line[:_LONGEST_TEXT] + "…"
