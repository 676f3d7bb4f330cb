"""DICOM audit messages: valid against the schema of PS3.15 §A.5.1, and what they say."""

from __future__ import annotations

import base64
import getpass
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from lxml import etree

from app.entry import cli
from app.services.audit.call import AuditedCall
from app.services.audit.dicom_codes import KINDS
from app.services.audit.dicom_messages import messages
from app.services.audit.trail import AuditTrail
from tests.unit.web.test_routing import AUDIT_EVENTS

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).parents[3] / "support" / "audit_message.rng"))


@pytest.fixture
def lines() -> list[bytes]:
    """The lines of the trail."""
    return []


@pytest.fixture
def trail(lines: list[bytes]) -> AuditTrail:
    return AuditTrail(lines.append)


def parsed(text: bytes) -> Any:
    """Return a message, and assert that it is valid and one line."""
    assert b"\n" not in text
    root = etree.fromstring(text)
    SCHEMA.assertValid(root)
    return root


def converted(folder: Path, lines: list[bytes]) -> list[Any]:
    """Return the messages of the lines, without the one of `start`."""
    path = folder / "audit.log"
    path.write_bytes(b"".join(lines))
    found = [parsed(each) for each in messages([path])]
    assert found[0].find("EventIdentification/EventTypeCode").get("originalText") == "Application Start"
    return found[1:]


def event_of(root: Any) -> tuple[str, ...]:
    event = root.find("EventIdentification")
    kind = event.find("EventTypeCode")
    return (
        event.find("EventID").get("originalText"),
        event.get("EventActionCode"),
        event.get("EventOutcomeIndicator"),
        *([] if kind is None else [kind.get("originalText")]),
    )


def objects(root: Any) -> dict[str, Any]:
    """Return the objects of a message by the meaning of their identifiers."""
    found = root.findall("ParticipantObjectIdentification")
    return {each.find("ParticipantObjectIDTypeCode").get("originalText"): each for each in found}


def details(found: Any) -> dict[str, str]:
    return {
        each.get("type"): base64.b64decode(each.get("value")).decode()
        for each in found.findall("ParticipantObjectDetail")
    }


def test_every_event_has_a_valid_message(tmp_path: Path, trail: AuditTrail, lines: list[bytes]) -> None:
    events = sorted(AUDIT_EVENTS | KINDS.keys())
    for event in events:
        call = AuditedCall(event=event, caller={"subject": "Ä <&> \"'\n\x00"}, address="::1", request_id="r1")
        trail.executing(call)
        trail.executed(call, 200)
    assert KINDS.keys() >= AUDIT_EVENTS
    found = converted(tmp_path, lines)
    assert len(found) == len(events)
    assert {each.find("ActiveParticipant").get("UserID") for each in found} == {"Ä <&> \"'\n\ufffd"}


def test_a_store_is_a_transfer_from_the_caller(tmp_path: Path, trail: AuditTrail, lines: list[bytes]) -> None:
    call = AuditedCall(
        event="store",
        caller={"subject": "CT 3", "token": "7f"},
        address="10.1.2.3",
        partition="clinic-a",
        studies=("2.25.1",),
        series="2.25.2",
        instance="2.25.3",
        count=1,
        request_id="r1",
        headers={"X-MS-AZUREDICOM-AUDIT-SITE": "ward-3"},
    )
    trail.executed(call, 200)
    (root,) = converted(tmp_path, lines)
    assert event_of(root) == ("DICOM Instances Transferred", "C", "0")
    caller, service = root.findall("ActiveParticipant")
    assert dict(caller.attrib) == {
        "UserID": "CT 3",
        "AlternativeUserID": "token 7f",
        "UserIsRequestor": "true",
        "NetworkAccessPointID": "10.1.2.3",
        "NetworkAccessPointTypeCode": "2",
    }
    assert caller.find("RoleIDCode").get("csd-code") == "110153"
    assert service.find("RoleIDCode").get("csd-code") == "110152"
    assert service.get("NetworkAccessPointID") == root.find("AuditSourceIdentification").get("AuditSourceID")
    found = objects(root)
    study = found["Study Instance UID"]
    assert study.get("ParticipantObjectID") == "2.25.1"
    assert details(study) == {"Series Instance UID": "2.25.2"}
    assert study.find("ParticipantObjectDescription/SOPClass/Instance").get("UID") == "2.25.3"
    assert found["Data partition"].get("ParticipantObjectID") == "clinic-a"
    assert found["Request ID"].get("ParticipantObjectID") == "r1"
    assert details(found["Request ID"]) == {"event": "store", "count": "1", "X-MS-AZUREDICOM-AUDIT-SITE": "ward-3"}


@pytest.mark.parametrize(
    ("call", "status", "event"),
    [
        (AuditedCall(event="retrieve", studies=("1", "2")), 200, ("DICOM Instances Transferred", "R", "0")),
        (AuditedCall(event="retrieve-metadata"), 404, ("DICOM Instances Accessed", "R", "4")),
        (AuditedCall(event="query"), 503, ("Query", "E", "8")),
        (AuditedCall(event="delete", studies=("1",)), 204, ("DICOM Study Deleted", "D", "0")),
        (AuditedCall(event="delete", studies=("1",), series="2"), 204, ("DICOM Instances Accessed", "D", "0")),
        (AuditedCall(event="partition-create"), 201, ("Security Alert", "E", "0", "Software Configuration")),
        (AuditedCall(event="access"), 200, ("Security Alert", "E", "0", "User Security Attributes Changed")),
        (AuditedCall(event="of a later release"), 200, ("Security Alert", "E", "0", "Use of Restricted Function")),
    ],
    ids=lambda each: each.event if isinstance(each, AuditedCall) else "",
)
def test_the_event_of_a_message(
    tmp_path: Path, trail: AuditTrail, lines: list[bytes], call: AuditedCall, status: int, event: tuple[str, ...]
) -> None:
    trail.executed(call, status)
    (root,) = converted(tmp_path, lines)
    assert event_of(root) == event
    assert len(root.findall("ActiveParticipant")) == 1
    assert len(root.findall("ParticipantObjectIdentification")) == len(call.studies) + (call.event == "query")


def test_denials(tmp_path: Path, trail: AuditTrail, lines: list[bytes]) -> None:
    trail.denied(AuditedCall(address="10.1.2.3"), 401)
    trail.denied(AuditedCall(event="delete", caller={"subject": "a"}, address="10.1.2.3", request_id="r1"), 403)
    first, second = converted(tmp_path, lines)
    assert event_of(first) == ("User Authentication", "E", "4", "Login")
    assert first.find("ActiveParticipant").get("UserID") == "unknown"
    assert event_of(second) == ("Security Alert", "E", "4", "Use of Restricted Function")
    assert details(objects(second)["Request ID"]) == {"event": "denied", "call": "delete"}


def test_lines_that_cannot_be_read_give_no_message(tmp_path: Path, trail: AuditTrail, lines: list[bytes]) -> None:
    trail.executed(AuditedCall(event="query"), 200)
    lines += [b"x\n", lines[-1][:90] + b"\n", lines[-1].replace(b'"status":200', b'"status":"x"')]
    assert len(converted(tmp_path, lines)) == 1


def test_the_command_says_first_that_the_log_was_read(tmp_path: Path, trail: AuditTrail, lines: list[bytes]) -> None:
    trail.executed(AuditedCall(event="query"), 200)
    path = tmp_path / "audit.log"
    path.write_bytes(b"".join(lines))
    result = CliRunner().invoke(cli.main, ["audit", "export", "--dicom", str(path)])
    assert result.exit_code == 0, result.output
    used, _, query = [parsed(each) for each in result.stdout_bytes.splitlines()]
    assert event_of(used) == ("Audit Log Used", "R", "0")
    assert objects(used)["URI"].get("ParticipantObjectID") == path.as_uri()
    assert event_of(query) == ("Query", "E", "0")
    assert CliRunner().invoke(cli.main, ["audit", "export", str(path)]).exit_code == 2


def test_a_reader_without_an_account_is_named_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_account() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", no_account)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    path = tmp_path / "audit.log"
    path.touch()
    result = CliRunner().invoke(cli.main, ["audit", "export", "--dicom", str(path)])
    assert parsed(result.stdout_bytes.rstrip()).find("ActiveParticipant").get("UserID") == "user id 12345"
