"""What an answer means: nothing to report, or an error with the text of the server."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

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
_LONGEST_ERROR_BYTES: Final = 65_536
"""Bytes of an error that are read. What follows is not needed for one line."""
LONGEST_ANSWER_BYTES: Final = 256 << 20
"""Bytes of the longest answer that is read into memory, after it is decoded."""
_SHA_256: Final = "sha-256=:"


def check(answer: httpx.Response) -> None:
    """Raise the error that the status of an answer means. Statuses below 300 mean none."""
    status = answer.status_code
    if status < 300:
        return
    if status < 400:
        elsewhere = _line(answer.headers.get("Location", "another address"))
        raise UnexpectedAnswer(f"The server redirects to {elsewhere}: name that address with --url.")
    raise error_of(status, _text(answer))


def error_of(status: int, text: str) -> ClientError:
    """Return the error that the status of an answer means. `text` is what the server says."""
    if status == 400 and text in _PARTITION_TEXTS:
        return PartitionRefused(status, text)
    kinds: dict[int, type[Refused]] = {401: CredentialsRefused, 403: RightMissing, 404: NotThere}
    return kinds.get(status, ServerFailed if status >= 500 else Refused)(status, text)


def _text(answer: httpx.Response) -> str:
    """Return the reason in the body of an error, in one line. The body is text in UTF-8, or JSON with a message."""
    kind = answer.headers.get("Content-Type", "")
    if kind.startswith("text/html"):
        return _line(answer.reason_phrase)
    content = b""
    try:
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > _LONGEST_ERROR_BYTES:
                break
    except (httpx.TransportError, httpx.DecodingError):
        return ""
    text = content[:_LONGEST_ERROR_BYTES].decode("utf-8", "replace")
    if "json" in kind:
        with suppress(orjson.JSONDecodeError, KeyError, TypeError):
            document = orjson.loads(content)
            # The texts of the worklist are JSON strings.
            text = document if isinstance(document, str) else str(document["error"]["message"])
    return _line(text)


def whole(answer: httpx.Response) -> httpx.Response:
    """Return an answer with its decoded body in memory. Raises `httpx.TransportError` if the body breaks.

    Raises `UnexpectedAnswer` for a body of more than `LONGEST_ANSWER_BYTES`, and for one that cannot be decoded.
    """
    content = bytearray()
    try:
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > LONGEST_ANSWER_BYTES:
                raise UnexpectedAnswer(f"The answer has more than {LONGEST_ANSWER_BYTES} bytes.")
    except httpx.DecodingError as error:
        raise UnexpectedAnswer("The answer has a content coding that cannot be decoded.") from error
    headers = httpx.Headers(answer.headers)
    headers.pop("Content-Encoding", None)
    return httpx.Response(answer.status_code, headers=headers, content=bytes(content), request=answer.request)


def entries_of(document: Any, name: str, kind: type) -> list[dict[str, Any]]:
    """Return a document that is a list of objects, each with a member of this name and kind.

    Raises `UnexpectedAnswer` for anything else.
    """
    if not isinstance(document, list) or not all(
        isinstance(each, dict) and isinstance(each.get(name), kind) for each in document
    ):
        raise UnexpectedAnswer(f"The answer is no list of objects with '{name}': is it a Bulkhead server?")
    return document


def digest_of(headers: Mapping[str, str]) -> bytes | None:
    """Return the SHA-256 digest of the Repr-Digest header (RFC 9530), None if there is none."""
    text = headers.get("Repr-Digest", "")
    if not text.startswith(_SHA_256):
        return None
    try:
        return base64.b64decode(text.removeprefix(_SHA_256).rstrip(":"))
    except ValueError:
        return None


def _line(text: str) -> str:
    """Return a text of a server in one line without characters that control a terminal."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= _LONGEST_TEXT else line[:_LONGEST_TEXT] + "…"
