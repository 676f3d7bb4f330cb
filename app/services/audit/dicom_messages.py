"""Audit messages of DICOM, made from audit lines (PS3.15 §A.5, conformance §13.5)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

import msgspec

from app.services.audit import dicom_codes
from app.services.audit.dicom_codes import Code, EventKind, kind_of
from app.services.audit.reading import audit_lines
from app.services.audit.trail import EXECUTED, START

_APPLICATION_SERVER: Final = "4"
_MACHINE_NAME, _IP_ADDRESS = "1", "2"
"""Kinds of audit source and of network access point (PS3.15 §A.5.1)."""

_SYSTEM_OBJECT: Final = "2"
_REPORT, _SECURITY_RESOURCE, _ARCHIVE, _JOB, _QUERY = "3", "13", "17", "20", "24"
"""Type and roles of objects (PS3.15 §A.5.1.2.2)."""

_NOT_IN_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class AuditLine(msgspec.Struct, frozen=True, kw_only=True, rename={"request_id": "requestId"}):
    """The members of an audit line that messages have."""

    time: str
    event: str
    phase: str
    process: str
    status: int = 0
    host: str = ""
    call: str = ""
    caller: dict[str, str] = {}
    address: str = ""
    partition: str = ""
    study: str | list[str] = []
    series: str = ""
    instance: str = ""
    workitem: str = ""
    operation: str = ""
    access: str = ""
    count: int | None = None
    request_id: str = ""
    headers: dict[str, str] = {}

    @property
    def studies(self) -> list[str]:
        return [self.study] if isinstance(self.study, str) else self.study


def messages(files: Iterable[Path]) -> Iterator[bytes]:
    """Yield a message, an XML document in one line, for each line `Executed` in the files.

    The host of the service is known only if the line `start` of the process is in one of the files. A line that cannot
    be read gives no message. Raises `OSError` for a file that cannot be read.
    """
    files = tuple(files)
    hosts = {line.process: line.host for line in _executed(files) if line.event == START}
    for line in _executed(files):
        yield message(line, hosts.get(line.process, ""))


def message(line: AuditLine, host: str) -> bytes:
    """Return the message of an audit line. `host` is the machine of the service, "" if it is not known."""
    kind = kind_of(line.event, line.status, is_whole_study=not line.series)
    root = _root(kind, line.time, _outcome(line.status))
    if line.caller or line.address:
        _add_caller(root, kind, line.caller, line.address)
    _add_service(root, kind, host, line.process)
    _add_source(root, host or line.process)
    _add_objects(root, kind, line)
    return _serialised(root)


def log_used_message(moment: datetime, *, user: str, host: str, file: Path) -> bytes:
    """Return the message that says that a user read an audit file (PS3.15 §A.5.3.2)."""
    root = _root(dicom_codes.AUDIT_LOG_USED, moment.isoformat(timespec="milliseconds"), "0")
    SubElement(root, "ActiveParticipant", {"UserID": _text(user), "UserIsRequestor": "true"})
    _add_source(root, host)
    _add_object(root, dicom_codes.URI, file.absolute().as_uri(), _SECURITY_RESOURCE, name="Security Audit Log")
    return _serialised(root)


def _executed(files: Iterable[Path]) -> Iterator[AuditLine]:
    for path in files:
        for _, text in audit_lines(path):
            with suppress(msgspec.MsgspecError, RecursionError):
                line = msgspec.json.decode(text, type=AuditLine)
                if line.phase == EXECUTED:
                    yield line


def _outcome(status: int) -> str:
    """Return the outcome: success, minor failure (a fault of the caller) or serious failure."""
    return "0" if status < 400 else "4" if status < 500 else "8"


def _root(kind: EventKind, time: str, outcome: str) -> Element:
    root = Element("AuditMessage")
    attributes = {"EventActionCode": kind.action, "EventDateTime": time, "EventOutcomeIndicator": outcome}
    event = SubElement(root, "EventIdentification", attributes)
    _add_code(event, "EventID", kind.id)
    if kind.type:
        _add_code(event, "EventTypeCode", kind.type)
    return root


def _add_caller(root: Element, kind: EventKind, caller: Mapping[str, str], address: str) -> None:
    token = f"token {caller['token']}" if "token" in caller else ""
    attributes = {
        "UserID": caller.get("subject") or token or "unknown",
        "AlternativeUserID": token or caller.get("issuer", ""),
        "UserIsRequestor": "true",
        "NetworkAccessPointID": address,
        "NetworkAccessPointTypeCode": _IP_ADDRESS if address else "",
    }
    _add_participant(root, attributes, kind.caller_role)


def _add_service(root: Element, kind: EventKind, host: str, process: str) -> None:
    attributes = {
        "UserID": "Bulkhead",
        "AlternativeUserID": process,
        "UserIsRequestor": "false",
        "NetworkAccessPointID": host,
        "NetworkAccessPointTypeCode": _MACHINE_NAME if host else "",
    }
    _add_participant(root, attributes, kind.service_role)


def _add_participant(root: Element, attributes: Mapping[str, str], role: Code | None) -> None:
    given = {name: _text(value) for name, value in attributes.items() if value}
    participant = SubElement(root, "ActiveParticipant", given)
    if role:
        _add_code(participant, "RoleIDCode", role)


def _add_source(root: Element, name: str) -> None:
    source = SubElement(root, "AuditSourceIdentification", {"AuditSourceID": _text(name)})
    SubElement(source, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})


def _add_objects(root: Element, kind: EventKind, line: AuditLine) -> None:
    """Add what the event was about: studies, workitem, query, partition, operation, request."""
    for study in line.studies:
        _add_study(root, study, line)
    if line.workitem:
        _add_object(root, dicom_codes.WORKITEM, line.workitem, _REPORT)
    if kind.is_query:  # search terms are data of patients: the trail does not have them
        _add_object(root, dicom_codes.SEARCH_CRITERIA, line.event, _QUERY, is_query=True)
    if line.partition:
        _add_object(root, dicom_codes.PARTITION, line.partition, _ARCHIVE)
    if line.operation:
        _add_object(root, dicom_codes.OPERATION, line.operation, _JOB)
    if line.request_id:
        count = "" if line.count is None else str(line.count)
        known = {"event": line.event, "call": line.call, "access": line.access, "count": count}
        details = {name: value for name, value in known.items() if value} | line.headers
        _add_object(root, dicom_codes.REQUEST, line.request_id, _JOB, details=details)


def _add_study(root: Element, study: str, line: AuditLine) -> None:
    details = {dicom_codes.SERIES: line.series} if line.series else {}
    found = _add_object(root, dicom_codes.STUDY, study, _REPORT, details=details)
    if line.instance:
        description = SubElement(found, "ParticipantObjectDescription")
        instances = SubElement(description, "SOPClass", {"NumberOfInstances": "1"})
        SubElement(instances, "Instance", {"UID": _text(line.instance)})


def _add_object(
    root: Element,
    kind: Code,
    identifier: str,
    role: str,
    *,
    name: str = "",
    is_query: bool = False,
    details: Mapping[str, str] | None = None,
) -> Element:
    attributes = {
        "ParticipantObjectID": _text(identifier),
        "ParticipantObjectTypeCode": _SYSTEM_OBJECT,
        "ParticipantObjectTypeCodeRole": role,
    }
    found = SubElement(root, "ParticipantObjectIdentification", attributes)
    _add_code(found, "ParticipantObjectIDTypeCode", kind)
    if is_query:
        SubElement(found, "ParticipantObjectQuery")
    else:
        SubElement(found, "ParticipantObjectName").text = _text(name or identifier)
    for kind_of_detail, value in (details or {}).items():
        encoded = base64.b64encode(value.encode()).decode()
        SubElement(found, "ParticipantObjectDetail", {"type": _text(kind_of_detail), "value": encoded})
    return found


def _add_code(parent: Element, name: str, code: Code) -> None:
    SubElement(
        parent,
        name,
        {
            "csd-code": code.code,
            "codeSystemName": code.scheme,
            "displayName": code.meaning,
            "originalText": code.meaning,
        },
    )


def _text(value: str) -> str:
    """Return a text with U+FFFD in place of characters that XML cannot have."""
    return _NOT_IN_XML.sub("\ufffd", value)


def _serialised(root: Element) -> bytes:
    return tostring(root, encoding="unicode").replace("\n", "&#10;").encode()
