"""`bulkhead store` against the service."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from app.bootstrap import Engine
from app.client.store import run as store_run
from app.client.store import sending
from app.client.store.outcomes import TRY_AGAIN
from app.entry import cli
from app.settings import Settings
from tests.api.commands.transfer.conftest import Run, Service
from tests.support.callers import embedded
from tests.support.instances import make_instance
from tests.support.tokens import create_token


def files(folder: Path, *contents: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(contents):
        (folder / f"{number:03}.dcm").write_bytes(data)
    return folder


def summary(result: Result) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_a_folder_is_stored_in_few_requests(
    bulkhead: Run, service: Service, client: FlaskClient, tmp_path: Path
) -> None:
    folder = files(tmp_path / "in", *(make_instance(study="2.25.7") for _ in range(40)), b"text")
    result = bulkhead("store", "--partition", "clinic-a", folder)
    assert result.exit_code == 0, result.output
    assert "Stored 40 files" in result.stdout
    assert "1 file not DICOM, skipped" in result.stdout
    assert service.paths("POST") == ["/v2/partitions/clinic-a/studies"] * 2
    assert len(client.get("/v2/partitions/clinic-a/instances").get_json(force=True)) == 40


def test_without_a_partition_the_default_partition_is_used_and_named(
    bulkhead: Run, service: Service, tmp_path: Path
) -> None:
    result = bulkhead("store", files(tmp_path / "in", make_instance()))
    assert result.exit_code == 0, result.output
    assert "Storing in http://127.0.0.1:8080, partition Microsoft.Default" in result.stderr
    assert service.paths("POST") == ["/v2/partitions/Microsoft.Default/studies"]


def test_a_server_with_partitions_off_gets_none(
    serve: Callable[..., FlaskClient], bulkhead: Run, tmp_path: Path
) -> None:
    service = Service(serve(enable_data_partitions=False).application)
    folder = files(tmp_path / "in", make_instance())
    result = CliRunner().invoke(cli.main, ["store", "--no-journal", str(folder)], obj=service)
    assert result.exit_code == 0, result.output
    assert "which has its partitions off" in result.stderr
    assert service.paths("POST") == ["/v2/studies"]
    named = CliRunner().invoke(cli.main, ["store", "--no-journal", "--partition", "a", str(folder)], obj=service)
    assert named.exit_code == 1
    assert "Leave --partition out" in named.stderr


def test_refusals_are_grouped_and_hide_nothing(bulkhead: Run, tmp_path: Path) -> None:
    bad = [make_instance(patient_id=None) for _ in range(7)]
    folder = files(tmp_path / "in", make_instance(), *bad, make_instance(), make_instance()[:300])
    result = bulkhead("store", "--partition", "clinic-a", folder)
    assert result.exit_code == 1
    assert "Stored 2 files" in result.stdout
    assert "8 files not stored:" in result.stdout
    assert "  7 x 43264: The required tag '(0010,0020)' is missing." in result.stdout
    assert "and 2 more" in result.stdout
    document = summary(bulkhead("store", "--partition", "b", "--json", folder))
    assert document["refused"] == 8
    assert document["refusals"][0]["count"] + document["refusals"][1]["count"] == 8
    assert max(len(each["examples"]) for each in document["refusals"]) == 5


def test_no_value_of_a_patient_is_in_a_summary(bulkhead: Run, tmp_path: Path) -> None:
    result = bulkhead("store", files(tmp_path / "in", make_instance(patient_id="Doe" * 40), make_instance()))
    assert "43264" in result.stdout
    assert "Doe" not in result.output


def test_what_the_server_has_with_the_same_bytes_is_done(bulkhead: Run, service: Service, tmp_path: Path) -> None:
    instances = [make_instance(preamble=b"II*\0" + bytes(124)), make_instance(study="2.25.3", instance="2.25.5")]
    folder = files(tmp_path / "in", *instances)
    assert bulkhead("store", folder).exit_code == 0
    (folder / "001.dcm").write_bytes(make_instance(study="2.25.3", instance="2.25.5", series="2.25.6"))
    assert summary(bulkhead("store", folder, "--json")) | {"seconds": 0} == {
        **dict.fromkeys(["notCompared", "storedWithWarning", "storedEarlier", "identical", "notDicom", "seconds"], 0),
        **{"files": 2, "stored": 1, "alreadyStored": 1, "refused": 0, "refusals": [], "interrupted": False},
        "bytesSent": sum(len(each.read_bytes()) for each in folder.iterdir()),
    }


def test_other_bytes_under_the_same_uids_are_refused(bulkhead: Run, tmp_path: Path) -> None:
    uids = {"study": "2.25.1", "series": "2.25.2", "instance": "2.25.3"}
    assert bulkhead("store", files(tmp_path / "in", make_instance(**uids))).exit_code == 0
    result = bulkhead("store", files(tmp_path / "in", make_instance(**uids, patient_id="P2")))
    assert result.exit_code == 1
    assert "1 x 45070: the instance exists with other content" in result.stdout


def test_two_versions_of_one_instance_in_a_run_are_told_apart(bulkhead: Run, tmp_path: Path) -> None:
    uids = {"study": "2.25.1", "series": "2.25.2", "instance": "2.25.3"}
    versions = [make_instance(**uids, patient_id=f"P{number}") for number in (1, 2)]
    result = bulkhead("store", files(tmp_path / "in", *versions))
    assert result.exit_code == 1
    assert "1 x 45070: the instance exists with other content" in result.stdout
    assert "Stored 0 files" in result.stdout
    assert "1 file on the server already, with the same bytes" in result.stdout


def test_identical_files_are_sent_once(bulkhead: Run, service: Service, tmp_path: Path) -> None:
    same = make_instance()
    document = summary(bulkhead("store", "--json", files(tmp_path / "in", same, make_instance(), same, same)))
    assert (document["stored"], document["identical"], document["refused"]) == (2, 2, 0)
    assert sum(request.content.count(same) for request in service.requests) == 1


def test_a_large_file_is_sent_alone(
    bulkhead: Run, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_run, "BATCH_BYTES", 4000)
    large = make_instance(rows=64, columns=64)
    assert bulkhead("store", files(tmp_path / "in", make_instance(), large, make_instance())).exit_code == 0
    kinds = {request.headers["Content-Type"].partition(";")[0] for request in service.requests if request.content}
    assert kinds == {"application/dicom", "multipart/related"}
    assert large in [request.content for request in service.requests]


def test_a_refused_request_is_sent_again_one_by_one(bulkhead: Run, service: Service, tmp_path: Path) -> None:
    def refuse(request: httpx.Request) -> httpx.Response | None:
        related = request.headers.get("Content-Type", "").startswith("multipart")
        return httpx.Response(413, text="The request exceeded the allowed limit of 10 bytes.") if related else None

    service.before = refuse
    assert summary(bulkhead("store", "--json", files(tmp_path / "in", make_instance(), make_instance())))["stored"] == 2


def interrupted_after(number: int) -> Callable[[httpx.Request], None]:
    """Return what lets Ctrl-C come at the POST with this number (from 1)."""
    posts: list[httpx.Request] = []

    def before(request: httpx.Request) -> None:
        if request.method == "POST":
            posts.append(request)
            if len(posts) == number:
                raise KeyboardInterrupt

    return before


def test_an_interrupted_run_goes_on_where_it_was(
    bulkhead: Run, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_run, "BATCH_FILES", 2)
    folder = files(tmp_path / "in", *(make_instance(pixel=False) for _ in range(10)))
    service.before = interrupted_after(3)
    first = bulkhead("store", "--jobs", "1", "--json", folder)
    assert first.exit_code == 130
    assert "Interrupted. Give the same command again to go on." in first.stderr
    assert (summary(first)["stored"], summary(first)["interrupted"]) == (4, True)
    service.before = lambda _request: None
    second = bulkhead("store", "--jobs", "1", "--json", folder)
    assert second.exit_code == 0, second.output
    assert "An earlier run stored 4 of these files." in second.stderr
    assert (summary(second)["stored"], summary(second)["storedEarlier"]) == (6, 4)
    assert list((tmp_path / "state" / "bulkhead").iterdir()) == [], "everything is stored, and the journal is left"
    third = bulkhead("store", "--json", folder)
    assert summary(third)["alreadyStored"] == 10


def test_a_run_that_comes_to_its_end_leaves_no_journal(bulkhead: Run, tmp_path: Path) -> None:
    """What is deleted after the run would not be stored again otherwise."""
    folder = files(tmp_path / "in", make_instance(), make_instance(patient_id=None))
    journal = tmp_path / "journal"
    assert bulkhead("store", "--journal", journal, folder).exit_code == 1
    assert not journal.exists()
    again = summary(bulkhead("store", "--journal", journal, "--json", folder))
    assert (again["alreadyStored"], again["refused"]) == (1, 1)


def test_a_new_archive_at_the_same_address_gets_all_files(
    bulkhead: Run, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_run, "BATCH_FILES", 2)
    folder = files(tmp_path / "in", *(make_instance(pixel=False) for _ in range(6)))
    service.before = interrupted_after(2)
    options = ("--jobs", "1", "--partition", "clinic-a", "--json", folder)
    assert summary(bulkhead("store", *options))["stored"] == 2
    service.move(embedded(tmp_path / "another archive"))
    service.before = lambda _request: None
    assert summary(bulkhead("store", *options))["stored"] == 6


def test_a_server_that_fails_ends_the_run(
    bulkhead: Run, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_run, "BATCH_FILES", 1)
    folder = files(tmp_path / "in", *(make_instance(pixel=False) for _ in range(20)))
    service.before = lambda request: httpx.Response(500, text="No.") if request.method == "POST" else None
    result = bulkhead("store", "--jobs", "1", folder)
    assert result.exit_code == 1
    assert "x HTTP 500: No." in result.stdout
    assert "Error: The server refuses the request: No. (HTTP 500)." in result.stderr
    assert len(service.paths("POST")) < 15


@pytest.mark.parametrize(("status", "code"), [(401, 3), (403, 1)])
def test_refused_callers_end_the_run_at_once(
    bulkhead: Run, service: Service, tmp_path: Path, status: int, code: int
) -> None:
    service.before = lambda request: httpx.Response(status, text="No.") if request.method == "POST" else None
    result = bulkhead(
        "store", "--jobs", "1", "--partition", "a", files(tmp_path / "in", make_instance(), make_instance())
    )
    assert result.exit_code == code
    assert len(service.paths("POST")) == 1
    assert [line for line in result.stderr.splitlines() if line.startswith("Error: ")] == [
        result.stderr.splitlines()[-1]
    ]


def test_a_server_that_is_not_there_is_reported_before_files_are_read(
    bulkhead: Run, service: Service, tmp_path: Path
) -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused")

    service.before = refuse
    result = bulkhead("store", files(tmp_path / "in", make_instance()))
    assert result.exit_code == 3
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_a_temporary_failure_is_tried_again(bulkhead: Run, service: Service, tmp_path: Path) -> None:
    failed: dict[str, Any] = {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [TRY_AGAIN]}}]}
    answers: list[httpx.Response] = [httpx.Response(409, json={"00081198": failed})]
    service.before = lambda request: answers.pop() if answers and request.method == "POST" else None
    assert summary(bulkhead("store", "--json", files(tmp_path / "in", make_instance())))["stored"] == 1
    assert len(service.paths("POST")) == 2


def test_file_names_are_printed_without_control_characters(bulkhead: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\x1b[31m\udcff.dcm").write_bytes(make_instance(patient_id=None))
    result = bulkhead("store", tmp_path / "in")
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "a\N{REPLACEMENT CHARACTER}[31m" in result.stdout


@pytest.mark.parametrize("arguments", [["store"], ["store", "/does/not/exist"], ["store", "--jobs", "0", "."]])
def test_a_wrong_command_line(bulkhead: Run, service: Service, arguments: Sequence[str]) -> None:
    assert bulkhead(*arguments).exit_code == 2
    assert service.requests == []


def test_a_very_large_file_that_the_server_has_is_not_sent(
    bulkhead: Run, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_ASK_BYTES", 1000)
    folder = files(tmp_path / "in", make_instance(rows=64, columns=64))
    assert summary(bulkhead("store", "--partition", "a", "--json", folder))["stored"] == 1
    service.requests.clear()
    assert summary(bulkhead("store", "--partition", "a", "--json", folder))["alreadyStored"] == 1
    assert service.paths("POST") == []


def test_a_caller_who_may_not_read_learns_nothing_of_the_bytes(
    serve: Callable[..., FlaskClient], settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    service = Service(serve(auth=("tokens",)).application)
    folder = files(tmp_path / "in", make_instance(study="2.25.1", series="2.25.2", instance="2.25.3"))

    def store(token: str, partition: str = "a") -> Result:
        (tmp_path / "token").write_text(token)
        options = ["--partition", partition, "--token-file", str(tmp_path / "token"), "--no-journal", str(folder)]
        return CliRunner().invoke(cli.main, ["store", *options], obj=service)

    writer = create_token(settings, engine, "writer", partitions=("a",)).secret
    assert store(writer).exit_code == 0
    files(folder, make_instance(study="2.25.1", series="2.25.2", instance="2.25.3", patient_id="P2"))
    again = store(writer)
    assert again.exit_code == 0
    assert "1 file on the server already, not compared" in again.stdout
    elsewhere = store(writer, "b")
    assert elsewhere.exit_code == 1
    assert "see `bulkhead grant --help`" in elsewhere.stderr
    unknown = store("nobody")
    assert unknown.exit_code == 3
    assert "Give a valid token" in unknown.stderr


@pytest.mark.parametrize(
    "answer", ["[]", '{"00081198": 5}', '{"00081198": {"Value": [{"00081197": {"Value": ["x"]}}]}}']
)
def test_an_answer_that_is_none_to_a_store_is_one_line(
    bulkhead: Run, service: Service, tmp_path: Path, answer: str
) -> None:
    service.before = lambda request: httpx.Response(200, text=answer) if request.method == "POST" else None
    result = bulkhead("store", "--partition", "a", files(tmp_path / "in", make_instance()))
    assert result.exit_code == 3
    assert result.stderr.splitlines()[-1].startswith("Error: The answer of http://127.0.0.1:8080 is none to a store.")
