"""`bulkhead workitems`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.api.commands.conftest import Command
from tests.support.workitems import PERFORMED, workitem


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "workitem.json"
    path.write_text(json.dumps([workitem()]))
    return str(path)


def state(bulkhead: Command, uid: str) -> str:
    return str(json.loads(bulkhead("workitems", "show", uid, "--json").stdout)["00741000"]["Value"][0])


def test_a_workitem_from_creation_to_completion(bulkhead: Command, file: str) -> None:
    created = bulkhead("workitems", "create", file)
    assert created.exit_code == 0, created.output
    uid = created.stdout.strip()
    assert "Smith^Ann" in bulkhead("workitems", "find", "ProcedureStepState=SCHEDULED").stdout
    assert "ProcedureStepState" in bulkhead("workitems", "show", uid).stdout
    transaction = bulkhead("workitems", "claim", uid).stdout.strip()
    assert state(bulkhead, uid) == "IN PROGRESS"
    again = bulkhead("workitems", "claim", uid)
    assert again.exit_code == 1
    assert "can not transition to 'IN PROGRESS' state: C301. (HTTP 400)" in again.stderr
    assert '"' not in again.stderr
    performed = json.dumps(PERFORMED)
    assert bulkhead("workitems", "update", uid, "-", text=performed).exit_code == 1
    assert bulkhead("workitems", "update", uid, "-", "--transaction", transaction, text=performed).exit_code == 0
    assert bulkhead("workitems", "complete", uid, "--transaction", transaction).exit_code == 0
    assert state(bulkhead, uid) == "COMPLETED"
    assert json.loads(bulkhead("workitems", "find", "ProcedureStepState=SCHEDULED", "--json").stdout) == []


def test_a_workitem_is_canceled_with_a_reason(bulkhead: Command) -> None:
    created = bulkhead("workitems", "create", "-", "--uid", "2.25.77", text=json.dumps(workitem()))
    assert created.stdout == "2.25.77\n"
    assert bulkhead("workitems", "cancel", "2.25.77", "--reason", "Patient left").exit_code == 0
    assert state(bulkhead, "2.25.77") == "CANCELED"
    assert bulkhead("workitems", "cancel", "2.25.77").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "text", "code", "message"),
    [
        (["show", "2.25.404"], None, 1, "The workitem instance is not found."),
        (["show", "../x"], None, 2, "is no UID"),
        (["create", "-"], "{", 2, "is not JSON"),
        (["create", "-"], "[1]", 2, "has no dataset"),
        (["create", "-"], "{}", 1, "HTTP 400"),
        (["find", "Modality=CT"], None, 1, "HTTP 400"),
        (["find", "modality=CT"], None, 2, "Did you mean Modality?"),
        (["complete", "2.25.1"], None, 2, "--transaction"),
    ],
)
def test_what_is_refused(bulkhead: Command, arguments: list[str], text: str | None, code: int, message: str) -> None:
    bulkhead("workitems", "create", "-", "--uid", "2.25.77", text=json.dumps(workitem()))
    result = bulkhead("workitems", *arguments, text=text)
    assert result.exit_code == code
    assert message in result.stderr
