"""Sends files to a Bulkhead server: one STOW-RS request for each (conformance §3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from app.client.connection import DICOM_JSON, ArchiveClient
from app.client.errors import ClientError, CredentialsRefused, Refused, RightMissing, ServerUnreachable
from app.gateway.outcomes import Outcome, Verdict

_CHUNK: Final = 262_144
_CONFLICT: Final = 409
_TOO_LARGE: Final = 413

_TRY_AGAIN: Final = 272
_EXISTS: Final = 45070
"""Failure reasons of an instance (conformance §3.4)."""

_STORED: Final = "00081199"
_FAILED: Final = "00081198"
_REASON: Final = "00081197"
_ATTRIBUTES: Final = "00741048"
_COMMENT: Final = "00000902"


class HttpSender:
    """Stores files over HTTP. Threads may share it. Each call makes one attempt."""

    def __init__(self, client: ArchiveClient) -> None:
        self._client = client.with_one_attempt()

    def send(self, partition: str, file: Path) -> Outcome:
        """Store a file in a partition.

        Without a name the partition is `Microsoft.Default`, or none if the server has its partitions off. An instance
        that exists counts as stored. The file is streamed.
        """
        try:
            prefix = self._client.prefix_of(partition)
            answer = self._client.request(
                "POST",
                f"{prefix}/studies",
                at_base=True,
                body=lambda: _pieces(file),
                headers={
                    "Content-Type": "application/dicom",
                    "Content-Length": str(file.stat().st_size),
                    "Accept": DICOM_JSON,
                },
                accepted=(_CONFLICT,),
            )
        except ClientError as error:
            return _failed(error)
        except OSError as error:
            return Outcome(verdict=Verdict.LATER, reason=f"the file cannot be read: {type(error).__name__}")
        if answer.status_code == _CONFLICT:
            return _conflict(answer.content)
        if not _names_an_instance(answer.content):
            return Outcome(verdict=Verdict.LATER, reason="the answer is none to a store")
        return Outcome(verdict=Verdict.STORED)


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            yield piece


def _failed(error: ClientError) -> Outcome:
    """Return the outcome of a call without an answer about the instance. The log gets no text of the server."""
    if isinstance(error, (CredentialsRefused, RightMissing)):
        return Outcome(verdict=Verdict.UNAUTHORIZED, reason=f"HTTP {error.status}: the token may not store here")
    if isinstance(error, Refused):
        reason = f"HTTP {error.status}"
        if error.status == _TOO_LARGE:
            return Outcome(verdict=Verdict.REFUSED, reason=reason, details={"status": error.status})
        return Outcome(verdict=Verdict.LATER, reason=reason)
    if isinstance(error, ServerUnreachable):
        return Outcome(verdict=Verdict.LATER, reason="the server does not answer")
    return Outcome(verdict=Verdict.LATER, reason=type(error).__name__)


def _names_an_instance(body: bytes) -> bool:
    """Return whether an answer names a stored instance. A proxy or another server answers 200 with other things."""
    try:
        return bool(orjson.loads(body)[_STORED]["Value"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return False


def _conflict(body: bytes) -> Outcome:
    """Return the outcome of a 409: the failure of the one instance that was sent."""
    try:
        failed = orjson.loads(body)[_FAILED]["Value"][0]
        reason = int(failed[_REASON]["Value"][0])
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, ValueError):
        return Outcome(verdict=Verdict.LATER, reason="HTTP 409 without a failure reason")
    if reason == _EXISTS:
        return Outcome(verdict=Verdict.STORED)
    text = f"failure reason {reason}"
    if reason == _TRY_AGAIN:
        return Outcome(verdict=Verdict.LATER, reason=text)
    return Outcome(
        verdict=Verdict.REFUSED, reason=text, details={"failureReason": reason, "comments": _comments(failed)}
    )


def _comments(failed: dict[str, Any]) -> list[str]:
    """Return what the server says about the attributes of the instance. It may quote values."""
    try:
        items = failed.get(_ATTRIBUTES, {}).get("Value", [])
        return [str(value) for item in items for value in item.get(_COMMENT, {}).get("Value", [])]
    except (AttributeError, TypeError):
        return []
