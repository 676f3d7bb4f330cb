"""What the audit lines of a call say about it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from app.dicom.encoding.uids import is_uid
from app.services.access.caller import Caller
from app.services.store.report import StoredInstance

MAX_STUDIES: Final = 50
"""Study UIDs that a line names. A bulk update has no more. Most lines then have less than the 4,096 bytes that a pipe
takes whole."""


@dataclass(slots=True, kw_only=True)
class AuditedCall:
    """A call, or work in the background. The handler completes it while it serves the call.

    An empty field is absent in the lines. No field has data of a patient but UIDs: a value of a URL that is no UID is
    never put here.
    """

    event: str = ""
    caller: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    partition: str = ""
    studies: Collection[str] = ()
    series: str = ""
    instance: str = ""
    workitem: str = ""
    operation: str = ""
    access: str = ""
    """The token or the stored grant that was created or removed: its kind and its id, with a blank between them."""
    count: int | None = None
    """Instances stored, deleted or sent, or results of a search. None if it is not known when the answer is decided."""
    request_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def add_studies(self, texts: Iterable[str]) -> None:
        """Record the studies that a body names. A text that is no UID is left out."""
        self.studies = tuple(dict.fromkeys(filter(is_uid, texts)))

    def stored(self, instances: Collection[StoredInstance]) -> None:
        """Record what a store has stored: its studies, and the series and the instance if there is only one."""
        self.count = len(instances)
        if instances:
            self.studies = sorted({each.study for each in instances})
            series = {each.series for each in instances}
            self.series = series.pop() if len(series) == 1 else ""
            self.instance = next(iter(instances)).instance if len(instances) == 1 else ""

    def members(self) -> dict[str, Any]:
        """Return the members of a line, in their order. Beyond `MAX_STUDIES` studies only the first are named."""
        studies = list(self.studies)
        members = {
            "caller": self.caller,
            "address": self.address,
            "partition": self.partition,
            "study": studies[0] if len(studies) == 1 else studies[:MAX_STUDIES],
            "studies": len(studies) if len(studies) > MAX_STUDIES else None,
            "series": self.series,
            "instance": self.instance,
            "workitem": self.workitem,
            "operation": self.operation,
            "access": self.access,
            "count": self.count,
            "requestId": self.request_id,
            "headers": self.headers,
        }
        return {name: value for name, value in members.items() if value or value == 0}


def named_caller(caller: Caller) -> dict[str, str]:
    """Return the member `caller` of a line. It is empty for a caller that is not known."""
    members = {"subject": caller.subject, "issuer": caller.issuer, "token": caller.token}
    return {name: value for name, value in members.items() if value}


def stored_caller(identity: str) -> dict[str, str]:
    """Return the member `caller` of a line, from `Caller.identity` in a stored record."""
    match identity.split(" ", 2):
        case ["token", token]:
            return {"token": token}
        case ["jwt", issuer, subject]:
            return {"subject": subject, "issuer": unquote(issuer)}
    return {"subject": identity} if identity else {}
