"""The commands that start operations, and `bulkhead operations`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import bootstrap
from app.client import operations
from app.settings import Settings
from tests.api.commands.conftest import Command, command_on
from tests.conftest import Serve
from tests.support.background import work
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.tokens import create_token


@pytest.fixture
def worker(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Do the background work while a command waits. The list has the pauses of the command."""
    pauses: list[float] = []

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 1:
            work(client)

    monkeypatch.setattr(operations, "sleep", wait)
    return pauses


@pytest.fixture
def study(clinic: PartitionClient) -> str:
    clinic.stored(
        make_instance(study="2.25.1", series="2.25.11", instance="2.25.111", PatientName="Doe^Jane"),
        make_instance(study="2.25.1", series="2.25.11", instance="2.25.112", PatientName="Doe^Jane"),
    )
    return "2.25.1"


def interrupt(_: float) -> None:
    raise KeyboardInterrupt


def patient(bulkhead: Command, keyword: str) -> str:
    (_, value) = bulkhead("find", "--csv", "--fields", keyword).stdout.splitlines()
    return str(value)


# --- update ---------------------------------------------------------------------------------------------------------


def test_an_update_waits_and_changes_all_instances(bulkhead: Command, study: str, worker: list[float]) -> None:
    result = bulkhead("update", study, "PatientID=MRN-7", "PatientName=Roe^Max=ロウ^マックス", "PatientWeight=71.5")
    assert result.exit_code == 0, result.output
    assert ["instanceUpdated", "2"] in [line.split() for line in result.stdout.splitlines()]
    assert patient(bulkhead, "PatientID") == "MRN-7"
    assert patient(bulkhead, "PatientName") == "Roe^Max=ロウ^マックス"
    assert worker[:2] == [0.5, 1.0]


def test_an_update_in_json(bulkhead: Command, study: str, worker: list[float]) -> None:
    result = bulkhead("update", study, "PatientID=MRN-8", "--json")
    found = json.loads(result.stdout)
    assert (found["status"], found["results"]["instanceUpdated"]) == ("succeeded", 2)
    assert result.stderr == ""


def test_an_update_of_a_study_that_is_not_there(bulkhead: Command, study: str, worker: list[float]) -> None:
    result = bulkhead("update", study, "2.25.404", "PatientID=MRN-9")
    assert result.exit_code == 1
    assert result.stderr == "1 of the studies are not in the partition.\n"
    assert patient(bulkhead, "PatientID") == "MRN-9"


def test_an_update_that_fails(bulkhead: Command, study: str, worker: list[float], settings: Settings) -> None:
    blobs = bootstrap.build_engine(settings).blobs
    blobs.delete([blob.key for blob in blobs.listed()])
    result = bulkhead("update", study, "PatientID=MRN-9")
    assert result.exit_code == 1
    assert result.stderr == "The operation failed.\n"


@pytest.mark.usefixtures("study")
def test_without_waiting_the_id_is_alone_on_standard_output(bulkhead: Command, client: FlaskClient) -> None:
    identifier = bulkhead("update", "2.25.1", "PatientID=MRN-7", "--no-wait").stdout.strip()
    assert len(identifier) == 32
    result = bulkhead("operations", identifier)
    assert result.exit_code == 0
    assert "notStarted" in result.stdout
    busy = bulkhead("update", "2.25.1", "PatientID=MRN-7")
    assert busy.exit_code == 1
    assert f"There is already an active update operation with ID '{identifier}'" in busy.stderr
    work(client)
    assert json.loads(bulkhead("operations", identifier, "--json").stdout)["status"] == "succeeded"
    assert json.loads(bulkhead("operations", identifier, "--watch", "--json").stdout)["status"] == "succeeded"


def test_ctrl_c_ends_the_waiting_alone(
    bulkhead: Command, client: FlaskClient, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "sleep", interrupt)
    result = bulkhead("update", study, "PatientID=MRN-7")
    assert result.exit_code == 130
    assert "The operation continues. Watch it with `bulkhead operations" in result.stderr
    assert "Traceback" not in result.output
    work(client)
    assert patient(bulkhead, "PatientID") == "MRN-7"


@pytest.mark.parametrize(
    ("terms", "code", "text"),
    [
        (["2.25.1"], 2, "at least one STUDY and one KEY=VALUE"),
        (["PatientID=1"], 2, "at least one STUDY"),
        (["2.25.1/2.25.11", "PatientID=1"], 2, "is no study"),
        (["2.25.1", "PatientID=1", "00100020=2"], 2, "given twice"),
        (["2.25.1", "PatientWeight=heavy"], 2, "'heavy' is no number"),
        (["2.25.1", "patientid=1"], 2, "Did you mean PatientID?"),
        ([*(f"2.25.{number}" for number in range(51)), "PatientID=1"], 2, "50 studies at most"),
        (["2.25.1", "StudyDate=20240101"], 1, "Updating the tag is not supported"),
        (["2.25.1", "PatientID="], 1, "The value must not be null or empty."),
    ],
)
def test_an_update_that_is_refused(
    bulkhead: Command, clinic: PartitionClient, terms: list[str], code: int, text: str
) -> None:
    clinic.stored(make_instance(study="2.25.1"))
    result = bulkhead("update", *terms)
    assert result.exit_code == code
    assert text in result.stderr


# --- export ---------------------------------------------------------------------------------------------------------


def test_an_export_to_the_folder_of_the_server(
    bulkhead: Command, study: str, worker: list[float], settings: Settings, tmp_path: Path
) -> None:
    named = tmp_path / "named"
    named.write_text(f"{study}/2.25.11\n\n{study}\n")
    result = bulkhead("export", "--to", "file:drop", "--from-file", str(named), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["results"]["exported"] == 2
    assert settings.export_folder
    assert len(list(settings.export_folder.glob("drop/*/results/2.25.1/2.25.11/*.dcm"))) == 2


def test_an_export_that_skips_something_is_no_success(bulkhead: Command, study: str, worker: list[float]) -> None:
    result = bulkhead("export", study, "2.25.404", "--to", "file:")
    assert result.exit_code == 1
    assert "1 were not copied." in result.stderr


@pytest.mark.usefixtures("study")
def test_an_export_without_waiting(bulkhead: Command) -> None:
    result = bulkhead("export", "2.25.1", "--to", "file:x", "--no-wait", "--json")
    assert set(json.loads(result.stdout)) == {"id"}


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["2.25.1", "--to", "ftp://x"], 2, "s3://BUCKET/PREFIX or file:PREFIX"),
        (["2.25.1", "--to", "file:x", "--region", "eu-west-1"], 2, "in S3 alone"),
        (["--to", "file:x"], 2, "Name a study"),
        (["x", "--to", "file:x"], 2, "is neither STUDY"),
        (["2.25.1"], 2, "--to"),
        (["2.25.1", "--to", "file:.x"], 1, "No part of it may begin with a dot."),
        (["2.25.1", "--to", "s3://drop/x", "--role-arn", "nobody"], 1, "destination.settings.roleArn"),
    ],
)
@pytest.mark.usefixtures("study")
def test_an_export_that_is_refused(bulkhead: Command, arguments: list[str], code: int, text: str) -> None:
    result = bulkhead("export", *arguments)
    assert result.exit_code == code
    assert text in result.stderr


# --- operations and tags --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "code", "text"),
    [("0" * 32, 1, "There is no operation 000"), ("../partitions", 2, "is no ID of an operation"), ("7", 2, "no ID")],
)
def test_an_operation_that_does_not_exist(bulkhead: Command, operation: str, code: int, text: str) -> None:
    result = bulkhead("operations", operation)
    assert result.exit_code == code
    assert text in result.stderr


@pytest.mark.usefixtures("study")
def test_tags_are_added_listed_and_removed(bulkhead: Command, worker: list[float]) -> None:
    assert bulkhead("tags", "list").stderr == "There are no extended query tags.\n"
    result = bulkhead("tags", "add", "PatientAge", "--level", "study")
    assert result.exit_code == 0, result.output
    private = ["12051003", "--level", "instance", "--vr", "SS", "--private-creator", "ACME 1.0"]
    assert bulkhead("tags", "add", *private).exit_code == 0
    listed = bulkhead("tags", "list").stdout.splitlines()
    assert [line.split()[:4] for line in listed[1:]] == [
        ["00101010", "PatientAge", "AS", "study"],
        ["12051003", "12051003", "SS", "instance"],
    ]
    assert bulkhead("tags", "rm", "PatientAge").exit_code == 0
    assert [each["path"] for each in json.loads(bulkhead("tags", "list", "--json").stdout)] == ["12051003"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["rm", "PatientAge"], 1, "cannot be found"),
        (["rm", "../x"], 2, "There is no attribute"),
        (["add", "PatientName", "--level", "study"], 1, "is already supported."),
        (["add", "PatientAge"], 2, "--level"),
    ],
)
def test_tags_that_are_refused(bulkhead: Command, arguments: list[str], code: int, text: str) -> None:
    result = bulkhead("tags", *arguments)
    assert result.exit_code == code
    assert text in result.stderr


def test_callers_without_rights(
    serve: Serve, settings: Settings, engine: bootstrap.Engine, clinic: PartitionClient
) -> None:
    clinic.stored(make_instance(study="2.25.1"))
    client = serve(auth=("tokens",))
    reader = command_on(client, BULKHEAD_TOKEN=create_token(settings, engine, "reader").secret)
    calls: Any = [
        ["update", "2.25.1", "PatientID=1"],
        ["export", "2.25.1", "--to", "file:x"],
        ["tags", "add", "PatientAge", "--level", "study"],
    ]
    for arguments in calls:
        result = command_on(client)(*arguments)
        assert (result.exit_code, len(result.stderr.splitlines())) == (3, 1)
        result = reader(*arguments)
        assert (result.exit_code, "HTTP 403" in result.stderr) == (1, True)
