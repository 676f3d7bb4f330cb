"""Requests of the campaign, with the statuses that each may get. Another status violates an invariant."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.torture.journal import Journal
from tests.torture.transport import Answer, Transport

BOUNDARY: Final = b"0123456789abcdef"
RELATED: Final = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY.decode()}'}
DICOM_JSON: Final = {"Content-Type": "application/dicom+json"}
JSON: Final = {"Content-Type": "application/json"}
ONE_FILE: Final = {"Accept": "application/dicom; transfer-syntax=*"}
MANY_FILES: Final = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
UNAVAILABLE: Final = 503
CHECK: Final = "check"
"""The kind of the requests after a run. They are not among the last operations on an object."""


@dataclass(slots=True)
class Requests:
    """Sends requests to a server that it draws. `faults` says whether a request may fail because of a fault."""

    transport: Transport
    journal: Journal
    chance: random.Random
    faults: bool = True

    def send(
        self,
        kind: str,
        subject: Hashable,
        method: str,
        target: str,
        *,
        allowed: Collection[int],
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        server: int | None = None,
    ) -> Answer:
        """Send a request. Record a status that is not allowed. `kind` names the request in the report."""
        number = self.chance.randrange(self.transport.servers) if server is None else server
        answer = self.transport.send(number, method, target, body, headers)
        self.journal.answered(kind, answer.status)
        if kind != CHECK:
            self.journal.note(subject, f"{method} {target} -> {answer.status or '-'} (server {number})")
        if answer.late:
            self.journal.violate("every request ends", subject, f"{method} {target}")
        unavailable = self.faults and answer.status in (0, UNAVAILABLE)
        if answer.status not in allowed and not unavailable:
            self.journal.violate(
                "every status is allowed", subject, f"{method} {target} -> {answer.status} {answer.body[:300]!r}"
            )
        if answer.status == UNAVAILABLE and "Retry-After" not in answer.headers:
            self.journal.violate("503 has Retry-After", subject, f"{method} {target}")
        return answer


def related(bodies: Sequence[bytes]) -> bytes:
    """Return a multipart body of instances. `RELATED` are its headers."""
    head = b"--" + BOUNDARY + b"\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join(head + body + b"\r\n" for body in bodies) + b"--" + BOUNDARY + b"--\r\n"


def parts(answer: Answer) -> list[bytes]:
    """Return the bodies of the parts of a multipart answer."""
    boundary = answer.headers["Content-Type"].rpartition("boundary=")[2].strip('"').encode()
    pieces = (b"\r\n" + answer.body).split(b"\r\n--" + boundary)[1:-1]
    return [piece.partition(b"\r\n\r\n")[2] for piece in pieces]


def as_json(value: Any) -> bytes:
    """Return a JSON body."""
    return json.dumps(value).encode()


def value(dataset: Mapping[str, Any], tag: str) -> Any:
    """Return the first value of an attribute in DICOM JSON, None if it has none."""
    return next(iter(dataset.get(tag, {}).get("Value", ())), None)
