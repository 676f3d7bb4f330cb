"""The codes of audit events in DICOM audit messages: PS3.16 Annex D, and values of PS3.15 §A.5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from app.services.audit.trail import DENIED, PARTITION_CREATE, START, STOP


class Code(NamedTuple):
    """A coded value: code, coding scheme, meaning."""

    code: str
    scheme: str
    meaning: str


def _dicom(code: str, meaning: str) -> Code:
    return Code(code, "DCM", meaning)


STUDY: Final = _dicom("110180", "Study Instance UID")
URI: Final = Code("12", "RFC-3881", "URI")
SEARCH_CRITERIA: Final = Code("10", "RFC-3881", "Search Criteria")
PARTITION: Final = Code("partition", "99BULKHEAD", "Data partition")
WORKITEM: Final = Code("workitem", "99BULKHEAD", "Workitem UID")
REQUEST: Final = Code("request", "99BULKHEAD", "Request ID")
OPERATION: Final = Code("operation", "99BULKHEAD", "Operation ID")
"""What identifies an object."""

SERIES: Final = "Series Instance UID"
"""The type of a detail of a study."""

_SOURCE: Final = _dicom("110153", "Source Role ID")
_DESTINATION: Final = _dicom("110152", "Destination Role ID")
_APPLICATION: Final = _dicom("110150", "Application")

_QUERY_ID: Final = "110112"
_NO_RIGHT: Final = 403


class EventKind(NamedTuple):
    """A DICOM audit event: its id, its type if it has one, its action, and the roles of the caller and of the service.

    `action` is `C`, `R`, `U`, `D` or `E`: create, read, update, delete, execute.
    """

    id: Code
    action: str
    type: Code | None = None
    caller_role: Code | None = None
    service_role: Code | None = _APPLICATION

    @property
    def is_query(self) -> bool:
        """Whether a message has an object with the query."""
        return self.id.code == _QUERY_ID


_ACTIVITY: Final = _dicom("110100", "Application Activity")
_ACCESSED: Final = _dicom("110103", "DICOM Instances Accessed")
_TRANSFERRED: Final = _dicom("110104", "DICOM Instances Transferred")
_PROCEDURE: Final = _dicom("110111", "Procedure Record")
_ALERT: Final = _dicom("110113", "Security Alert")
_AUTHENTICATION: Final = _dicom("110114", "User Authentication")

_STORED: Final = EventKind(_TRANSFERRED, "C", None, _SOURCE, _DESTINATION)
_SENT: Final = EventKind(_TRANSFERRED, "R", None, _DESTINATION, _SOURCE)
_READ: Final = EventKind(_ACCESSED, "R")
_UPDATED: Final = EventKind(_ACCESSED, "U")
_DELETED: Final = EventKind(_ACCESSED, "D")
_STUDY_DELETED: Final = EventKind(_dicom("110105", "DICOM Study Deleted"), "D")
_EXPORTED: Final = EventKind(_dicom("110106", "Export"), "R", None, None, _SOURCE)
_QUERIED: Final = EventKind(_dicom(_QUERY_ID, "Query"), "E", None, _SOURCE, _DESTINATION)
_CONFIGURED: Final = EventKind(_ALERT, "E", _dicom("110131", "Software Configuration"))
_LOGIN: Final = EventKind(_AUTHENTICATION, "E", _dicom("110122", "Login"))
_RESTRICTED: Final = EventKind(_ALERT, "E", _dicom("110132", "Use of Restricted Function"))
AUDIT_LOG_USED: Final = EventKind(_dicom("110101", "Audit Log Used"), "R")

KINDS: Final[Mapping[str, EventKind]] = {
    START: EventKind(_ACTIVITY, "E", _dicom("110120", "Application Start")),
    STOP: EventKind(_ACTIVITY, "E", _dicom("110121", "Application Stop")),
    "store": _STORED,
    **dict.fromkeys(("retrieve", "retrieve-bulk-data", "retrieve-pixel-data"), _SENT),
    **dict.fromkeys(("retrieve-metadata", "retrieve-rendered"), _READ),
    **dict.fromkeys(("update-study", "update-study-operation"), _UPDATED),
    "delete": _DELETED,
    **dict.fromkeys(("export", "export-operation"), _EXPORTED),
    **dict.fromkeys(
        ("query", "query-workitem", "partition", "change-feed", "operation", "retrieve-capabilities"), _QUERIED
    ),
    **dict.fromkeys(
        ("get-extended-query-tag", "get-all-extended-query-tag", "get-extended-query-tag-errors"), _QUERIED
    ),
    "add-workitem": EventKind(_PROCEDURE, "C"),
    "retrieve-workitem": EventKind(_PROCEDURE, "R"),
    **dict.fromkeys(("update-workitem", "change-state-workitem", "cancel-workitem"), EventKind(_PROCEDURE, "U")),
    **dict.fromkeys(
        ("add-extended-query-tag", "remove-extended-query-tag", "update-extended-query-tag", PARTITION_CREATE),
        _CONFIGURED,
    ),
    **dict.fromkeys(("reindex-operation", "tag-removal-operation"), _CONFIGURED),
    "access": EventKind(_ALERT, "E", _dicom("110137", "User Security Attributes Changed")),
    "sign-in": _LOGIN,
    "sign-out": EventKind(_AUTHENTICATION, "E", _dicom("110123", "Logout")),
}
"""The DICOM event of each event that is always the same one."""


def kind_of(event: str, status: int, *, is_whole_study: bool) -> EventKind:
    """Return the DICOM event of an audit line. `is_whole_study` says that the line names no series.

    An event that this release does not know is the use of a restricted function.
    """
    if event == DENIED:
        return _RESTRICTED if status == _NO_RIGHT else _LOGIN
    if event == "delete" and is_whole_study:
        return _STUDY_DELETED
    return KINDS.get(event, _RESTRICTED)
