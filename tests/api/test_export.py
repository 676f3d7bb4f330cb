"""Export through HTTP (conformance §11): its checks, files and totals; a crash changes none of them."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto.core.botocore_stubber import BotocoreStubber

from app import bootstrap
from app.engines.aws import clients
from app.errors import BlobMissing, DestinationUnavailable, StorageUnavailable
from app.services.export import task
from app.services.export.source import ExportSource, SourceEntry
from app.settings import Settings
from app.storage.table import clock
from app.storage.table.ports import Key
from tests.support.dicomweb import AS_STORED, PartitionClient, parts
from tests.support.exports import Bucket, Exporter, ExportTarget, Folder, totals
from tests.support.faults import AFTER, MUTATIONS, Killed, Rule, fail, kill
from tests.support.instances import JPEG_BASELINE, make_instance, read
from tests.support.selection import thorough

Json = dict[str, Any]

STUDY, SERIES = "2.25.1001", "2.25.1002"


ENGINES = ("embedded to a folder", "embedded to a bucket", pytest.param("aws to a bucket", marks=thorough))
local = pytest.mark.parametrize("exporter", ENGINES[:1], indirect=True)
"""For tests that do not depend on the engine."""


@pytest.fixture(params=ENGINES)
def exporter(request: pytest.FixtureRequest, tmp_path: Path) -> Exporter:
    """An archive with a destination for exports."""
    common: Json = {"log_level": "error"}
    place: ExportTarget
    if "embedded" in request.param:
        common |= {"data_dir": tmp_path / "data", "export_dir": tmp_path / "exports"}
    else:
        common |= {"engine": "aws", "table": "archive", "bucket": "archive"}
    if "bucket" in request.param:
        request.getfixturevalue("aws")
        place = Bucket(clients.s3())
    else:
        place = Folder(tmp_path / "exports")
    settings = Settings(**common)
    bootstrap.initialise(settings)
    return Exporter(settings, bootstrap.build_engine(settings), place)


@pytest.fixture
def files(exporter: Exporter) -> dict[str, bytes]:
    """Two series of a study and one of another in clinic-a, by `S/Se/I`."""
    places = [(STUDY, SERIES, 5), (STUDY, "2.25.1003", 4), ("2.25.1004", "2.25.1005", 3)]
    made = {
        (study, series, f"{series}.{n}"): make_instance(study=study, series=series, instance=f"{series}.{n}")
        for study, series, count in places
        for n in range(1, count + 1)
    }
    exporter.clinic.stored(*made.values())
    return {"/".join(uids): body for uids, body in made.items()}


def within(files: dict[str, bytes], *paths: str) -> dict[str, bytes]:
    return {uids: body for uids, body in files.items() if any(f"{uids}/".startswith(f"{path}/") for path in paths)}


# --- what is written and counted ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        (STUDY,),
        (f"{STUDY}/{SERIES}",),
        (f"{STUDY}/{SERIES}/{SERIES}.2",),
        (f"{STUDY}/{SERIES}", "2.25.1004", f"{STUDY}/2.25.1003/2.25.1003.1"),
    ],
)
def test_the_exported_files_are_the_stored_files(
    exporter: Exporter, files: dict[str, bytes], values: tuple[str, ...]
) -> None:
    operation = exporter.run(*values)
    expected = within(files, *values)
    assert (operation.type, operation.status) == ("export", "succeeded")
    assert operation.results == {
        "errorHref": exporter.place.href(operation.id),
        "exported": len(expected),
        "skipped": 0,
    }
    assert operation.percent is None
    assert operation.resources == ()
    assert exporter.exported(operation.id) == expected
    assert exporter.log(operation.id) == []


def test_a_file_keeps_its_stored_transfer_syntax(exporter: Exporter) -> None:
    jpeg = make_instance(study=STUDY, transfer_syntax=JPEG_BASELINE, pixel=False, preamble=b"MZ" * 64)
    exporter.clinic.stored(jpeg)
    (retrieved,) = parts(exporter.clinic.get(f"/studies/{STUDY}", AS_STORED))
    operation = exporter.run(STUDY)
    assert list(exporter.exported(operation.id).values()) == [retrieved.body]
    assert retrieved.body[128:] == jpeg[128:]


def test_an_exported_object_has_the_content_type_of_dicom(exporter: Exporter, files: dict[str, bytes]) -> None:
    operation = exporter.run(STUDY)
    if isinstance(exporter.place, Bucket):
        for uids in within(files, STUDY):
            key = f"drop/{operation.id}/results/{uids}.dcm"
            head = exporter.place.s3.head_object(Bucket="research-drop", Key=key)
            assert head["ContentType"] == "application/dicom"


def test_a_large_file_is_exported_in_several_parts(exporter: Exporter) -> None:
    large = make_instance(study=STUDY, rows=2400, columns=1200)
    assert len(large) > 5 * 1024**2
    exporter.clinic.stored(large)
    operation = exporter.run(STUDY)
    assert [body[128:] == large[128:] for body in exporter.exported(operation.id).values()] == [True]


def test_only_instances_of_the_partition_in_the_url_are_exported(exporter: Exporter, files: dict[str, bytes]) -> None:
    other = make_instance(study=STUDY, series=SERIES, instance=f"{SERIES}.1", patient_id="other")
    PartitionClient(exporter.client, "/v2/partitions/clinic-b").stored(other)
    operation = exporter.run(STUDY, "2.25.1004", prefix="/v2/partitions/CLINIC-B")
    assert exporter.exported(operation.id) == {f"{STUDY}/{SERIES}/{SERIES}.1": other}
    assert totals(operation.results) == (1, 1)
    assert exporter.log(operation.id) == [("2.25.1004", "The specified study cannot be found.")]


def test_an_unknown_identifier_is_skipped_and_logged(exporter: Exporter, files: dict[str, bytes]) -> None:
    missing = {
        "2.25.9": "The specified study cannot be found.",
        f"{STUDY}/2.25.9": "The specified series cannot be found.",
        "2.25.9.1/2.25.9": "The specified series cannot be found.",
        f"{STUDY}/{SERIES}/2.25.9": "The specified instance cannot be found.",
    }
    operation = exporter.run(*missing, "2.25.1004")
    assert operation.status == "succeeded"
    assert totals(operation.results) == (3, 4)
    assert dict(exporter.log(operation.id)) == missing
    lines = exporter.place.files()[f"{operation.id}/errors.log"].splitlines()
    assert all(list(json.loads(line)) == ["timestamp", "identifier", "error"] for line in lines)


def test_an_export_succeeds_although_everything_is_skipped(exporter: Exporter, files: dict[str, bytes]) -> None:
    operation = exporter.run("2.25.9")
    assert (operation.status, totals(operation.results)) == ("succeeded", (0, 1))
    assert exporter.exported(operation.id) == {}


def test_an_instance_that_several_identifiers_name_counts_once(exporter: Exporter, files: dict[str, bytes]) -> None:
    series = f"{STUDY}/{SERIES}"
    operation = exporter.run(f"{series}/{SERIES}.1", series, "2.25.9", f"{series}/{SERIES}.1", series, "2.25.9 ")
    assert totals(operation.results) == (5, 1)
    assert exporter.exported(operation.id) == within(files, series)
    assert exporter.log(operation.id) == [("2.25.9", "The specified study cannot be found.")]
    assert totals(exporter.run(series, STUDY, f"{series}/{SERIES}.1").results) == (9, 0)


@pytest.mark.parametrize("size", [1, 100])
def test_an_unknown_identifier_counts_although_its_study_is_named_too(
    exporter: Exporter, files: dict[str, bytes], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "BATCH", size)
    unknown = {
        f"{STUDY}/2.25.9": "The specified series cannot be found.",
        f"{STUDY}/{SERIES}/2.25.9": "The specified instance cannot be found.",
        "2.25.9/2.25.8": "The specified series cannot be found.",
        "2.25.9": "The specified study cannot be found.",
    }
    known = [f"{STUDY}/{SERIES}", f"{STUDY}/{SERIES}/{SERIES}.1"]
    operation = exporter.run(*unknown, *known, STUDY)
    assert totals(operation.results) == (9, 4)
    assert exporter.log(operation.id) == list(unknown.items())
    assert exporter.exported(operation.id) == within(files, STUDY)


def test_a_deleted_instance_is_not_exported(exporter: Exporter, files: dict[str, bytes]) -> None:
    exporter.clinic.delete(f"/studies/{STUDY}/series/{SERIES}")
    exporter.clinic.delete("/studies/2.25.1004")
    operation = exporter.run(STUDY, "2.25.1004")
    assert exporter.exported(operation.id) == within(files, f"{STUDY}/2.25.1003")
    assert totals(operation.results) == (4, 1)


@pytest.mark.parametrize("size", [1, 2])
def test_the_totals_grow_step_by_step(
    exporter: Exporter, files: dict[str, bytes], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "BATCH", size)
    response = exporter.ask(STUDY, "2.25.9", "2.25.1004/2.25.1005/2.25.1005.1", "2.25.8/2.25.8", "2.25.1004/2.25.7")
    operation: str = response.get_json()["id"]
    seen: list[tuple[int, int]] = []
    exporter.faults.hook = lambda call: seen.append(
        totals(exporter.operation(operation).results or {"exported": 0, "skipped": 0})
    )
    ended = exporter.work(operation)
    assert totals(ended.results) == (10, 3)
    assert seen == sorted(seen)
    assert len(set(seen)) >= 6, "totals grow step by step"
    assert exporter.exported(operation) == within(files, STUDY, "2.25.1004/2.25.1005/2.25.1005.1")
    assert [identifier for identifier, _ in exporter.log(operation)] == ["2.25.9", "2.25.8/2.25.8", "2.25.1004/2.25.7"]


def test_more_identifiers_than_one_page_of_the_manifest_holds(exporter: Exporter, files: dict[str, bytes]) -> None:
    unknown = [f"2.25.7.{n}" for n in range(1, 250)]
    operation = exporter.run(*unknown[:120], STUDY, *unknown[120:])
    assert totals(operation.results) == (9, len(unknown))
    assert [identifier for identifier, _ in exporter.log(operation.id)] == unknown
    left = [
        item for pk in ("identifiers", "errors") for item in exporter.engine.table.query(f"export/{operation.id}/{pk}")
    ]
    assert left == []


def test_several_exports_run_together(exporter: Exporter, files: dict[str, bytes]) -> None:
    asked = [exporter.ask(STUDY).get_json()["id"] for _ in range(3)]
    assert [totals(exporter.work(operation).results) for operation in asked] == [(9, 0)] * 3
    found = Counter(key.partition("/")[0] for key in exporter.place.files())
    assert found == dict.fromkeys(asked, 10)


def test_the_operation_as_clients_see_it(
    exporter: Exporter, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "BATCH", 5)
    response = exporter.ask(STUDY, "2.25.9")
    href, operation = response.get_json()["href"], response.get_json()["id"]
    waiting = exporter.client.get(href)
    assert (waiting.status_code, waiting.get_json()["status"]) == (202, "notStarted")
    exporter.step()
    running = exporter.client.get(href)
    assert (running.status_code, running.get_json()["status"]) == (202, "running")
    log = exporter.place.href(operation)
    assert running.get_json()["results"] == {"errorHref": log, "exported": 5, "skipped": 0}
    exporter.work(operation)
    ended = exporter.client.get(href)
    operation_body = ended.get_json()
    assert ended.status_code == 200
    assert operation_body.keys() == {"operationId", "type", "createdTime", "lastUpdatedTime", "status", "results"}
    assert tuple(operation_body[each] for each in ("operationId", "type", "status")) == (
        operation,
        "export",
        "succeeded",
    )
    assert operation_body["results"] == {"errorHref": log, "exported": 9, "skipped": 1}
    assert exporter.client.get(href.replace("/v2/", "/v1/")).get_json()["status"] == "completed"


def test_the_exported_file_has_the_values_of_a_bulk_update(exporter: Exporter, files: dict[str, bytes]) -> None:
    change = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "New^Name"}]}}
    asked = exporter.client.post(
        "/v2/partitions/clinic-a/studies/$bulkUpdate", json={"studyInstanceUids": [STUDY], "changeDataset": change}
    )
    assert exporter.work(asked.get_json()["id"]).status == "succeeded"
    operation = exporter.run(STUDY, "2.25.1004/2.25.1005/2.25.1005.1")
    names = {uids: str(read(body).PatientName) for uids, body in exporter.exported(operation.id).items()}
    assert names == {
        uids: "New^Name" if uids.startswith(STUDY) else "Doe^Jane"
        for uids in within(files, STUDY, "2.25.1004/2.25.1005/2.25.1005.1")
    }


# --- when something goes wrong ------------------------------------------------------------------------------------


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A clock of the operations: add seconds to let time pass."""
    passed: list[int] = []
    monkeypatch.setattr(clock, "time", SimpleNamespace(time=lambda: time.time() + sum(passed)))
    return passed


def test_an_export_ends_the_same_if_its_worker_is_killed_anywhere(
    exporter: Exporter, files: dict[str, bytes], later: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "BATCH", 5)
    values = (STUDY, "2.25.9", "2.25.1004/2.25.1005/2.25.1005.1", "2.25.8/2.25.8", "2.25.1004/2.25.7")
    survived = 0
    while True:
        operation = exporter.ask(*values).get_json()["id"]
        exporter.restart()
        rule = Rule(kill(), operation=(*MUTATIONS, "destination.*"), stage=AFTER, nth=survived + 1)
        exporter.faults.add(rule)
        with suppress(Killed):
            ended = exporter.work(operation)
        exporter.faults.clear()
        if rule.hits:
            exporter.restart()
            later.append(3600)
            ended = exporter.work(operation)
        assert (ended.status, totals(ended.results)) == ("succeeded", (10, 3)), survived
        assert exporter.exported(operation) == within(files, STUDY, "2.25.1004/2.25.1005/2.25.1005.1"), survived
        assert [each for each, _ in exporter.log(operation)] == ["2.25.9", "2.25.8/2.25.8", "2.25.1004/2.25.7"]
        assert [*exporter.engine.table.query(f"export/{operation}/identifiers")] == []
        if not rule.hits:
            break
        survived += 1 if isinstance(exporter.place, Folder) else 7
    assert rule.matched > 20, "the worker was killed after each of them"


def test_the_operation_fails_if_the_destination_refuses_after_some_files(
    exporter: Exporter, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "BATCH", 3)
    operation = exporter.ask("2.25.9", STUDY).get_json()["id"]
    exporter.step()
    exporter.place.close()
    ended = exporter.work(operation)
    assert (ended.status, totals(ended.results)) == ("failed", (2, 1))
    assert [*exporter.engine.table.query(f"export/{operation}/identifiers")] == []
    exporter.place.open()
    assert [identifier for identifier, _ in exporter.log(operation)] == ["2.25.9"]


def fail_copies(exporter: Exporter, key: str, error: Exception, times: int = 1000) -> Rule:
    """Let the copies to keys that contain `key` fail."""
    return exporter.faults.add(Rule(fail(error), operation="destination.copy", key=f"*{key}*", times=times))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (StorageUnavailable(), "The file could not be read."),
        (DestinationUnavailable("gone"), "The file could not be written to the destination."),
        (BlobMissing("key"), f"The file of the instance {STUDY}/{SERIES}/{SERIES}.2 is lost."),
    ],
)
def test_one_file_that_fails_is_skipped_and_logged(
    exporter: Exporter, files: dict[str, bytes], error: Exception, text: str
) -> None:
    uids = f"{STUDY}/{SERIES}/{SERIES}.2"
    fail_copies(exporter, uids, error)
    operation = exporter.run(STUDY)
    assert (operation.status, totals(operation.results)) == ("succeeded", (8, 1))
    assert exporter.log(operation.id) == [(uids, text)]
    expected = within(files, STUDY)
    del expected[uids]
    assert exporter.exported(operation.id) == expected


def test_a_lost_file_is_skipped_and_named_in_the_log(exporter: Exporter, files: dict[str, bytes]) -> None:
    row = exporter.engine.table.get(Key(f"1/study/{STUDY}", f"instance/{SERIES}/{SERIES}.2")) or next(
        item
        for p in range(5)
        if (item := exporter.engine.table.get(Key(f"{p}/study/{STUDY}", f"instance/{SERIES}/{SERIES}.2")))
    )
    partition = row.key.pk.partition("/")[0]
    exporter.engine.blobs.delete([f"{partition}/{STUDY}/{SERIES}/{SERIES}.2/{row.fields['version']}.dcm"])
    operation = exporter.run(STUDY)
    assert totals(operation.results) == (8, 1)
    lost = f"{STUDY}/{SERIES}/{SERIES}.2"
    assert exporter.log(operation.id) == [(lost, f"The file of the instance {lost} is lost.")]


def test_a_step_is_repeated_if_every_file_of_it_fails(
    exporter: Exporter, files: dict[str, bytes], later: list[int]
) -> None:
    """If every file of a batch fails, an outage is likely, so none is skipped at once."""
    failed = fail_copies(exporter, STUDY, DestinationUnavailable("down"), times=18)
    operation = exporter.ask(STUDY).get_json()["id"]
    for _ in range(2):
        with pytest.raises(DestinationUnavailable):
            exporter.step()
        later.append(60)
        exporter.restart()
    ended = exporter.work(operation)
    assert failed.hits >= 9
    assert (ended.status, totals(ended.results)) == ("succeeded", (9, 0))
    assert exporter.log(operation) == []


@local
def test_a_file_is_skipped_after_the_retries(exporter: Exporter, files: dict[str, bytes], later: list[int]) -> None:
    uids = f"{STUDY}/{SERIES}/{SERIES}.2"
    failed = fail_copies(exporter, uids, StorageUnavailable())
    operation = exporter.ask(uids).get_json()["id"]
    while not exporter.operation(operation).ended:
        try:
            exporter.step()
        except StorageUnavailable:
            later.append(600)
            exporter.restart()
    assert failed.hits == task.MAX_RETRIES + 1
    assert totals(exporter.operation(operation).results) == (0, 1)


def test_an_export_without_progress_fails_and_removes_its_manifest(
    exporter: Exporter, files: dict[str, bytes], later: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "BATCH", 5)
    operation = exporter.ask("2.25.8", "2.25.9", STUDY, "2.25.10").get_json()["id"]
    exporter.step()
    monkeypatch.setattr(ExportSource, "entries", unavailable)
    while not exporter.operation(operation).ended:
        try:
            exporter.step()
        except StorageUnavailable:
            later.append(600)
            exporter.restart()
    ended = exporter.operation(operation)
    assert (ended.status, totals(ended.results)) == ("failed", (3, 2))
    assert [each for each, _ in exporter.log(operation)] == ["2.25.8", "2.25.9"]
    assert [*exporter.engine.table.query(f"export/{operation}/identifiers")] == []


def unavailable(*_: object) -> Iterator[SourceEntry]:
    raise StorageUnavailable


# --- what is refused ----------------------------------------------------------------------------------------------

FIELD = "The field '{}' in request body is invalid: {}"
SOURCE = {"type": "identifiers", "settings": {"values": ["2.25.1"]}}
TO_S3 = {"type": "s3", "settings": {"bucketName": "research-drop"}}


def of(*values: object) -> Json:
    return {"source": {"type": "identifiers", "settings": {"values": list(values)}}, "destination": TO_S3}


def to(**settings: object) -> Json:
    return {"source": SOURCE, "destination": {"type": "s3", "settings": settings}}


def no_identifier(value: str) -> str:
    return f"The string '{value}' was not recognized as a valid DICOM identifier."


REFUSED: list[tuple[object, str]] = [
    ([], FIELD.format("", "It must be an object.")),
    ({"destination": TO_S3}, FIELD.format("source", "The source field is required.")),
    ({"source": None, "destination": TO_S3}, FIELD.format("source", "The source field is required.")),
    ({"source": 1, "destination": TO_S3}, FIELD.format("source", "It must be an object.")),
    ({"source": SOURCE}, FIELD.format("destination", "The destination field is required.")),
    (
        {"source": {"type": "query"}, "destination": TO_S3},
        FIELD.format("source.type", "It must be one of: identifiers."),
    ),
    ({"source": {"type": "identifiers"}, "destination": TO_S3}, FIELD.format("source.settings", "It is required.")),
    ({"source": {**SOURCE, "settings": {}}, "destination": TO_S3}, "Missing value for property 'Values'."),
    (of(), "Missing value for property 'Values'."),
    (of(1), FIELD.format("source.settings.values", "It must be an array of strings.")),
    (of("2.25.1/abc"), no_identifier("2.25.1/abc")),
    (of("2.25.1", ""), no_identifier("")),
    (of("2.25.1/"), no_identifier("2.25.1/")),
    (of("1/2/3/4"), no_identifier("1/2/3/4")),
    (of("1" * 65), no_identifier("1" * 65)),
    ({"source": SOURCE, "destination": {"type": "s3"}}, FIELD.format("destination.settings", "It is required.")),
    (to(), FIELD.format("destination.settings", "Exactly one of 'bucketName' and 'uri' must be given.")),
    (
        to(bucketName="research-drop", uri="s3://research-drop"),
        FIELD.format("destination.settings", "Exactly one of 'bucketName' and 'uri' must be given."),
    ),
    (to(bucketName=7), FIELD.format("destination.settings.bucketName", "It must be a string.")),
    (
        to(bucketName="arn:aws:s3:eu-west-1:1:accesspoint/x"),
        FIELD.format("destination.settings.bucketName", "It must be the name of a bucket."),
    ),
    (
        to(bucketName="research-drop", endpointUrl="http://169.254.169.254/"),
        FIELD.format("destination.settings.endpointUrl", "Other endpoints are not allowed here."),
    ),
]


@local
@pytest.mark.parametrize(("body", "text"), REFUSED)
def test_a_bad_request_is_400(exporter: Exporter, body: object, text: str) -> None:
    exporter.clinic.stored(make_instance(study="2.25.1"))
    response = exporter.post(body)
    assert (response.status_code, response.text) == (400, text)
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    nothing_started(exporter)


def nothing_started(exporter: Exporter) -> None:
    assert [*exporter.engine.table.query("operations/open")] == []
    assert exporter.place.files() == {}


@pytest.mark.parametrize("kind", ["azureBlob", "AzureBlob", "ftp", 3, None])
def test_an_unsupported_type_of_destination_is_400(exporter: Exporter, kind: object) -> None:
    destination = {"type": kind, "settings": {"blobContainerUri": "https://x.blob.core.windows.net/c"}}
    exporter.clinic.stored(make_instance())
    response = exporter.post({"source": SOURCE, "destination": destination})
    known = "s3, file" if "file" in exporter.engine.openers else "s3"
    assert (response.status_code, response.text) == (
        400,
        FIELD.format("destination.type", f"It must be one of: {known}."),
    )
    nothing_started(exporter)


@local
@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "The request body is missing."),
        (b"{", "The syntax of the request body is invalid."),
        (b"\xff", "The syntax of the request body is invalid."),
        (b"[" * 100_000, "The syntax of the request body is invalid."),
        (b'"' + rb"\"" * 100_000, "The syntax of the request body is invalid."),
    ],
)
def test_a_body_that_is_not_json_is_400(exporter: Exporter, files: dict[str, bytes], data: bytes, text: str) -> None:
    response = exporter.client.post(
        "/v2/partitions/clinic-a/export", data=data, content_type="application/json; charset=utf-8"
    )
    assert (response.status_code, response.text) == (400, text)


@local
def test_a_body_over_its_limit_is_413(exporter: Exporter, files: dict[str, bytes]) -> None:
    response = exporter.ask(*["2.25." + "1" * 59] * 140_000)
    assert (response.status_code, response.text) == (413, "The request exceeded the allowed limit of 8388608 bytes.")


@local
def test_too_many_identifiers_are_400(exporter: Exporter, files: dict[str, bytes]) -> None:
    response = exporter.ask(*["1.2"] * 100_001)
    text = FIELD.format("source.settings.values", "It has more than 100000 entries.")
    assert (response.status_code, response.text) == (400, text)


def test_names_in_any_letter_case_comments_and_unknown_fields_are_accepted(
    exporter: Exporter, files: dict[str, bytes]
) -> None:
    kind, settings = exporter.place.destination["type"], exporter.place.destination["settings"]
    written = ", ".join(f'"{name.upper()}": "{value}"' for name, value in settings.items())
    body = """// as in the documentation
        {"SOURCES": {"Type": "Identifiers", /* the "only" one */ "Settings": {"Values": ["2.25.1004", ]}, "x": null},
         "Destination": {"type": "KIND", "settings": {"SETTINGS": 0, "unheardOf": ["// no comment"],},}, "more": 1,}
    """.replace("KIND", kind.upper()).replace('"SETTINGS": 0', written)
    response = exporter.client.post("/v2/partitions/clinic-a/export", data=body, content_type="application/json")
    assert response.status_code == 202, response.text
    assert totals(exporter.work(response.get_json()["id"]).results) == (3, 0)


@local
@pytest.mark.parametrize("content_type", [None, "text/plain", "application/dicom+xml", "multipart/related"])
def test_another_content_type_is_415(exporter: Exporter, files: dict[str, bytes], content_type: str | None) -> None:
    response = exporter.client.post("/v2/partitions/clinic-a/export", data=b"{}", content_type=content_type)
    assert (response.status_code, response.data) == (415, b"")


@local
def test_an_unknown_partition_is_400_and_is_not_created(exporter: Exporter) -> None:
    response = exporter.ask("2.25.1")
    assert (response.status_code, response.text) == (400, "Specified PartitionName clinic-a doesn't exist.")
    assert len(exporter.client.get("/v2/partitions").get_json()) == 1
    nothing_started(exporter)


@local
def test_the_base_form_of_the_url_is_400(exporter: Exporter, files: dict[str, bytes]) -> None:
    for prefix in ("", "/v1", "/v2"):
        response = exporter.ask(STUDY, prefix=prefix)
        assert (response.status_code, response.text) == (400, "PartitionName value is missing in the route segment.")


@pytest.mark.parametrize("prefix", ["", "/v1", "/v2"])
def test_the_answer_has_the_url_of_the_operation(exporter: Exporter, files: dict[str, bytes], prefix: str) -> None:
    response = exporter.ask(STUDY, prefix=f"{prefix}/partitions/clinic-a")
    operation = response.get_json()["id"]
    href = f"http://localhost{prefix}/operations/{operation}"
    assert (response.status_code, response.headers["Location"]) == (202, href)
    assert response.headers["Content-Type"] == "application/json"
    assert response.get_json() == {"id": operation, "href": href}
    assert exporter.place.files() == {f"{operation}/errors.log": b""}, "proves that it can be written to"


@local
def test_the_prerelease_has_no_export(exporter: Exporter, files: dict[str, bytes]) -> None:
    assert exporter.ask(STUDY, prefix="/v1.0-prerelease/partitions/clinic-a").status_code in (404, 405)


@pytest.mark.parametrize("off", [{"enable_export": False}, {"disable_operations": True}])
def test_an_export_is_404_if_it_is_switched_off(tmp_path: Path, off: Json) -> None:
    settings = Settings(data_dir=tmp_path, log_level="error", **off)
    exporter = Exporter(settings, bootstrap.build_engine(settings), Folder(tmp_path))
    response = exporter.ask(STUDY)
    assert (response.status_code, response.data) == (404, b"")


# --- buckets ------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(exporter: Exporter) -> Any:
    """The mocked S3; tests that take it are for buckets."""
    if not isinstance(exporter.place, Bucket):
        pytest.skip("for buckets")
    return exporter.place.s3


def everything(exporter: Exporter, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> str:
    """The whole contents of the table and of the log, as text."""
    if exporter.settings.engine == "aws":
        contents = str(clients.dynamodb().scan(TableName="archive")["Items"])
    else:
        folder = exporter.settings.data_dir
        contents = "".join(each.read_bytes().decode("latin-1") for each in folder.glob("index.sqlite*"))
    output = capsys.readouterr()
    return contents + output.out + output.err + caplog.text


@pytest.mark.parametrize("exporter", ENGINES[1:], indirect=True)
@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"bucketName": "no-such-bucket"}, "The bucket 'no-such-bucket' was not found."),
        ({"uri": "s3://no-such-bucket/a/b"}, "The bucket 'no-such-bucket' was not found."),
        ({"bucketName": "no-such-bucket", "region": "eu-west-1"}, "The bucket 'no-such-bucket' was not found."),
    ],
)
def test_a_missing_bucket_is_400(exporter: Exporter, files: dict[str, bytes], settings: Json, text: str) -> None:
    response = exporter.post(to(**settings))
    assert (response.status_code, response.text) == (400, text)
    nothing_started(exporter)


@pytest.mark.parametrize("exporter", ["aws to a bucket"], indirect=True)
def test_the_bucket_of_the_archive_is_refused(exporter: Exporter, files: dict[str, bytes]) -> None:
    response = exporter.post(to(bucketName="archive"))
    assert (response.status_code, response.text) == (400, "The archive's own bucket is no destination of an export.")
    nothing_started(exporter)


@pytest.mark.parametrize("exporter", ENGINES[1:], indirect=True)
def test_region_and_encryption_are_used(exporter: Exporter, files: dict[str, bytes], bucket: Any) -> None:
    settings = {
        "uri": "s3://research-drop/a b/",
        "region": "eu-west-1",
        "sseAlgorithm": "aws:kms",
        "kmsKeyId": "alias/x",
    }
    response = exporter.post(to(**settings) | {"source": {"type": "identifiers", "settings": {"values": [STUDY]}}})
    operation = exporter.work(response.get_json()["id"])
    assert totals(operation.results) == (9, 0)
    url = f"https://research-drop.s3.eu-west-1.amazonaws.com/a%20b/{operation.id}/errors.log"
    assert operation.results["errorHref"] == url
    keys = [each["Key"] for each in bucket.list_objects_v2(Bucket="research-drop", Prefix="a b/")["Contents"]]
    assert len(keys) == 10
    for key in keys:
        head = bucket.head_object(Bucket="research-drop", Key=key)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "alias/x")


@pytest.mark.parametrize("exporter", ENGINES[1:], indirect=True)
def test_the_credentials_of_a_role_are_written_nowhere(
    exporter: Exporter,
    files: dict[str, bytes],
    bucket: Any,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG, logger="bulkhead")
    given: list[dict[str, str]] = []
    asked: list[dict[str, str]] = []
    make: Any = boto3.session.Session.client

    def client(session: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        made = make(session, name, *args, **kwargs)
        if name == "sts":
            made.meta.events.register("provide-client-params.sts.AssumeRole", lambda params, **_: asked.append(params))
            made.meta.events.register(
                "after-call.sts.AssumeRole", lambda parsed, **_: given.append(parsed["Credentials"])
            )
        return made

    monkeypatch.setattr(boto3.session.Session, "client", client)
    role = {"roleArn": "arn:aws:iam::123456789012:role/drop", "externalId": "tenant-7"}
    response = exporter.post(to(bucketName="research-drop", prefix="drop", **role) | {"source": of(STUDY)["source"]})
    assert response.status_code == 202, response.text
    operation = exporter.work(response.get_json()["id"])
    assert totals(operation.results) == (9, 0)
    assert exporter.exported(operation.id) == within(files, STUDY)
    assert [(each["RoleArn"], each["ExternalId"], each["RoleSessionName"]) for each in asked] == [
        (role["roleArn"], role["externalId"], f"bulkhead-{operation.id}")
    ]
    (credentials,) = given
    found = everything(exporter, capsys, caplog)
    assert operation.id in found
    for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"):
        assert credentials[name] not in found


@local
@pytest.mark.parametrize("name", ["accessKeyId", "SecretAccessKey", "sessiontoken", "awsSecretAccessKey"])
def test_access_keys_in_a_body_are_refused_and_written_nowhere(
    exporter: Exporter,
    files: dict[str, bytes],
    name: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="bulkhead")
    response = exporter.post(to(**{"bucketName": "research-drop", name: "hunter2hunter2"}))
    assert response.status_code == 400
    assert response.text.startswith("Access keys are not accepted in a request.")
    assert "hunter2" not in response.text + everything(exporter, capsys, caplog)
    nothing_started(exporter)


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254", "http://localhost:9000", "https://minio.example", "file:///x"]
)
@pytest.mark.parametrize("exporter", ENGINES[1:], indirect=True)
def test_other_endpoints_are_refused_before_any_traffic(
    exporter: Exporter, files: dict[str, bytes], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_traffic(*_: object, **__: object) -> None:
        raise AssertionError("traffic")

    monkeypatch.setattr(BotocoreStubber, "process_request", no_traffic)
    monkeypatch.setattr("socket.getaddrinfo", no_traffic)
    text = FIELD.format("destination.settings.endpointUrl", "Other endpoints are not allowed here.")
    response = exporter.post(to(bucketName="research-drop", endpointUrl=url))
    assert (response.status_code, response.text) == (400, text)


@pytest.mark.parametrize("exporter", ENGINES[1:2], indirect=True)
def test_another_endpoint_is_used_if_the_setting_allows_it(
    exporter: Exporter, files: dict[str, bytes], bucket: Any
) -> None:
    allowed = Exporter(
        dataclasses.replace(exporter.settings, export_allow_endpoint_url=True), exporter.engine, exporter.place
    )
    settings = {"bucketName": "research-drop", "prefix": "drop", "endpointUrl": "https://s3.eu-west-1.amazonaws.com/"}
    response = allowed.post(to(**settings) | {"source": of(STUDY)["source"]})
    operation = allowed.work(response.get_json()["id"])
    assert totals(operation.results) == (9, 0)
    assert allowed.exported(operation.id) == within(files, STUDY)


# --- folders ------------------------------------------------------------------------------------------------------


@local
@pytest.mark.parametrize(
    "prefix", ["../outside", "a/../../b", "/etc", "..", "a//b", "a/./b", "a\\..\\b", "a\x00b", ".x", "\ud800"]
)
def test_a_prefix_stays_within_the_export_folder(exporter: Exporter, files: dict[str, bytes], prefix: str) -> None:
    before = sorted(exporter.settings.data_dir.parent.rglob("*"))
    response = exporter.post({"source": SOURCE, "destination": {"type": "file", "settings": {"prefix": prefix}}})
    assert response.status_code == 400
    assert response.text.startswith("The field 'destination.settings.prefix' in request body is invalid: ") or (
        prefix == "\ud800" and response.text == "The syntax of the request body is invalid."
    )
    assert sorted(exporter.settings.data_dir.parent.rglob("*")) == before


@local
def test_an_export_does_not_follow_a_symbolic_link(exporter: Exporter, files: dict[str, bytes], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "exports" / "drop").symlink_to(outside)
    response = exporter.ask(STUDY)
    assert (response.status_code, response.text) == (400, "A part of the prefix is not a folder.")
    assert list(outside.iterdir()) == []


@local
def test_an_export_does_not_follow_a_symbolic_link_made_while_it_runs(
    exporter: Exporter, files: dict[str, bytes], tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    operation = exporter.ask(STUDY).get_json()["id"]
    (tmp_path / "exports" / "drop" / operation / "results").symlink_to(outside)
    assert exporter.work(operation).status == "failed"
    assert list(outside.iterdir()) == []


@local
def test_an_export_to_the_export_folder_itself(exporter: Exporter, files: dict[str, bytes], tmp_path: Path) -> None:
    response = exporter.post({"source": of(STUDY)["source"], "destination": {"type": "file", "settings": {}}})
    operation = exporter.work(response.get_json()["id"])
    assert operation.results["errorHref"] == f"{operation.id}/errors.log"
    assert len(list((tmp_path / "exports" / operation.id).rglob("*.dcm"))) == 9
