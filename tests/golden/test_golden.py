"""The current code serves an archive which release 0.1.0 wrote, and goes on with the work which that left undone."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.engines.embedded.blobs import EmbeddedBlobs
from app.settings import Settings
from tests.golden.later_releases import comparable
from tests.support.background import work
from tests.support.instances import make_instance

HERE = Path(__file__).parent
HOST = "http://archive.example"
TABLE = BUCKET = "archive"
DROP = "research-drop"
CLINIC = f"{HOST}/v2/partitions/clinic-a"
JSON_TYPES = ("application/json", "application/dicom+json")
AS_STORED = {"Accept": "application/dicom; transfer-syntax=*"}
ORIGINAL = {"msdicom-request-original": "true"}
FOR_EVER: dict[str, Any] = {"keep_succeeded_days": 36_500, "keep_failed_days": 36_500}
"""Settings that keep the operations of the archive, however old it is."""

UNSWEPT = ("2.25.702", "2.25.712", "2.25.802", "2.25.803", "2.25.804", "2.25.813", "2.25.814")
"""Deleted instances whose files are still there."""

ORPHANS = ("2.25.1302", "2.25.1402", "2.25.1412")
"""Files of stores which were killed."""

CLOSED = ("2.25.1202", "2.25.1203", "2.25.1204", "2.25.1512")
"""Instances in a study and in a series whose deletion was killed."""


@dataclass
class Opened:
    """An archive which the current code serves."""

    client: FlaskClient
    data: Path | None = None
    exports: Path | None = None
    s3: Any = None

    def blobs(self) -> list[str]:
        """Where the archive's files lie."""
        if self.data:
            return [blob.key for blob in EmbeddedBlobs(self.data / "blobs", 0).listed()]
        return _keys(self.s3, BUCKET)

    def exported(self) -> list[str]:
        """Where exported files lie."""
        if self.exports:
            return [str(path.relative_to(self.exports)) for path in self.exports.rglob("*") if path.is_file()]
        return _keys(self.s3, DROP)

    def file_of(self, instance: str) -> bool:
        """Tell whether there is a file of this instance."""
        return any(re.search(rf"[/]{re.escape(instance)}[/~]", key) for key in self.blobs())

    def found(self, query: str, resource: str = "studies") -> list[dict[str, Any]]:
        """The rows of a search."""
        response = self.client.get(f"{CLINIC}/{resource}?{query}&includefield=all")
        assert response.status_code in (200, 204), response.text
        rows: list[dict[str, Any]] = response.get_json(force=True) if response.data else []
        return rows

    def uids(self, query: str, resource: str = "studies") -> list[str]:
        """The study UIDs of the rows of a search, in order."""
        return [row["0020000D"]["Value"][0] for row in self.found(query, resource)]

    def metadata(self, study: str, **headers: str) -> list[dict[str, Any]]:
        """The datasets of a study's instances."""
        response = self.client.get(f"{CLINIC}/studies/{study}/metadata", headers=headers)
        assert response.status_code == 200, response.text
        documents: list[dict[str, Any]] = response.get_json(force=True)
        return documents

    def names(self, study: str, **headers: str) -> set[str]:
        """The patient's names in the metadata of a study."""
        return {each["00100010"]["Value"][0]["Alphabetic"] for each in self.metadata(study, **headers)}

    def update(self, study: str, patient_name: str) -> dict[str, Any]:
        """Update a study to the end; what the operation says."""
        change = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": patient_name}]}}
        asked = {"studyInstanceUids": [study], "changeDataset": change}
        response = self.client.post(f"{CLINIC}/studies/$bulkUpdate", json=asked)
        assert response.status_code == 202, response.text
        work(self.client)
        return self.operation(response.json["id"])

    def operation(self, operation: str) -> dict[str, Any]:
        """What an operation says which has ended."""
        response = self.client.get(f"{HOST}/v2/operations/{operation}")
        assert response.status_code == 200, response.text
        told: dict[str, Any] = response.get_json()
        return told

    def feed(self) -> list[dict[str, Any]]:
        """The whole change feed by sequence, without metadata."""
        found: list[dict[str, Any]] = []
        for offset in range(0, 300, 100):
            window = f"offset={offset}&limit=100&includemetadata=false"
            found += self.client.get(f"{HOST}/v1/changefeed?{window}").get_json()
        return found


@pytest.fixture(params=("embedded", "aws"))
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """The archive, served by the current code. No background work has run."""
    files = unpacked(request.param)
    if request.param == "embedded":
        for path, body in files.items():
            (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / path).write_bytes(body)
        data, exports = tmp_path / "data", tmp_path / "exports"
        exports.mkdir()
        settings = Settings(data_dir=data, export_dir=exports, log_level="error", **FOR_EVER)
        yield Opened(create_app(settings).test_client(), data=data, exports=exports)
        return
    request.getfixturevalue("aws")
    dynamodb, s3 = request.getfixturevalue("aws_clients")
    load(files, dynamodb, s3)
    settings = Settings(engine="aws", table=TABLE, bucket=BUCKET, log_level="error", **FOR_EVER)
    yield Opened(create_app(settings).test_client(), s3=s3)


def unpacked(engine: str) -> dict[str, bytes]:
    """The files of an archive by their paths."""
    with tarfile.open(HERE / f"{engine}.tar.gz") as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}


def load(files: dict[str, bytes], dynamodb: Any, s3: Any) -> None:
    """Write the items into a table, the objects into a bucket; make an empty bucket for exports."""
    keys = (("pk", "HASH"), ("sk", "RANGE"))
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
    )
    items = [json.loads(line, object_hook=_binary) for line in files["items.jsonl"].decode().splitlines()]
    for start in range(0, len(items), 25):
        puts = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        assert not dynamodb.batch_write_item(RequestItems={TABLE: puts})["UnprocessedItems"]
    s3.create_bucket(Bucket=BUCKET)
    s3.create_bucket(Bucket=DROP)
    for path, body in files.items():
        if path.startswith("objects/"):
            s3.put_object(Bucket=BUCKET, Key=path.removeprefix("objects/"), Body=body)


def _binary(value: dict[str, Any]) -> dict[str, Any]:
    """Return an attribute value with its binary data decoded."""
    given = value.get("B") if value.keys() == {"B"} else None
    return {"B": base64.b64decode(given)} if isinstance(given, str) else value


def _keys(s3: Any, bucket: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


@cache
def expected() -> dict[str, Any]:
    """The ids of the archive's operations by name, and the calls with the answers of release 0.1.0."""
    found: dict[str, Any] = json.loads(gzip.decompress((HERE / "expected.json.gz").read_bytes()))
    return found


def answer(client: FlaskClient, ask: dict[str, str]) -> dict[str, Any]:
    """The answer to a call: JSON as it is, bytes as their SHA-256, a multipart answer as those of its parts."""
    headers = {name: value for name, value in ask.items() if name != "path"}
    response = client.get(ask["path"], base_url=HOST, headers=headers)
    kind = re.sub(r"; boundary=.*", "", response.headers.get("Content-Type", ""))
    told: dict[str, Any] = {"status": response.status_code, "type": kind}
    if "erroneous-dicom-attributes" in response.headers:
        told["erroneous"] = response.headers["erroneous-dicom-attributes"]
    if kind.startswith("multipart/related"):
        boundary = response.headers["Content-Type"].rpartition("boundary=")[2].encode()
        parts = (b"\r\n" + response.data).split(b"\r\n--" + boundary)[1:-1]
        told["parts"] = [hashlib.sha256(part.partition(b"\r\n\r\n")[2]).hexdigest() for part in parts]
    elif kind.startswith(JSON_TYPES):
        told["json"] = json.loads(response.text.replace(f"https://{DROP}.s3.amazonaws.com/", ""))
    elif kind.startswith("text/") or not response.data:
        told["text"] = response.text
    else:
        told["sha256"] = hashlib.sha256(response.data).hexdigest()
    return told


def in_order(rows: Iterable[dict[str, Any]]) -> bool:
    numbers = [row["sequence"] for row in rows]
    return numbers == sorted(set(numbers))


# --- the tests --------------------------------------------------------------------------------------------------------


def test_every_answer_is_that_of_the_release(golden: Opened) -> None:
    differing = [
        (each["ask"], each["answer"], found)
        for each in expected()["answers"]
        if comparable(each["ask"], found := answer(golden.client, each["ask"]))
        != comparable(each["ask"], each["answer"])
    ]
    assert not differing, f"{len(differing)} answers differ, the first: {differing[0]}"


@pytest.mark.parametrize(
    ("resource", "tag"),
    [
        ("series", "00200011"),
        ("instances", "00200013"),
        ("instances", "00080016"),
    ],
)
def test_a_search_by_an_attribute_without_postings_finds_what_the_release_stored(
    golden: Opened, resource: str, tag: str
) -> None:
    rows = golden.found(f"{tag}=", resource)
    values = {row[tag]["Value"][0] for row in rows if "Value" in row.get(tag, {})}
    assert values
    for value in values:
        expected_rows = [row for row in rows if row.get(tag, {}).get("Value") == [value]]
        assert golden.found(f"{tag}={value}", resource) == expected_rows


def test_the_work_which_was_left_undone_ends(golden: Opened) -> None:
    client, operations = golden.client, expected()["operations"]
    originals = golden.metadata("2.25.1000")
    assert all(map(golden.file_of, (*UNSWEPT, *ORPHANS, *CLOSED)))
    work(client)

    # The update goes on; the originals are kept.
    told = golden.operation(operations["update half done"])
    assert (told["status"], told["results"]["instanceUpdated"]) == ("succeeded", 3)
    assert golden.names("2.25.1000") == {"Written^Half"}
    assert golden.names("2.25.1000", **ORIGINAL) == {"Plain^Paul"}
    assert sorted(map(str, golden.metadata("2.25.1000", **ORIGINAL))) == sorted(map(str, originals))
    assert golden.uids("PatientName=written&fuzzymatching=true") == ["2.25.1000"]
    # The update which was given up stays failed; readers see what it wrote.
    assert golden.operation(operations["update given up"])["status"] == "failed"
    assert golden.names("2.25.1100") == {"Settled^Half"}

    # The re-index goes on.
    assert golden.operation(operations["reindex half done"])["status"] == "succeeded"
    assert client.get(f"{HOST}/v2/extendedquerytags/ProtocolName").json["status"] == "ready"
    assert golden.uids("ProtocolName=Chest%20routine", "series") == ["2.25.200", "2.25.200"]

    # The export runs.
    operation = operations["export queued"]
    told = golden.operation(operation)
    assert (told["status"], told["results"]["exported"], told["results"]["skipped"]) == ("succeeded", 4, 1)
    files = [key for key in golden.exported() if f"{operation}/results/2.25.300/" in key]
    assert len(files) == 4

    # The deletions end, and the sweep removes what nothing names.
    for path in ("2.25.1200", "2.25.1500/series/2.25.1511"):
        assert client.get(f"{CLINIC}/studies/{path}/metadata").status_code == 404
    work(client)
    assert not [each for each in (*UNSWEPT, *ORPHANS) if golden.file_of(each)]
    deleted = {each["sopInstanceUid"] for each in golden.feed() if each["action"] == "Delete"}
    assert deleted >= {*UNSWEPT, *CLOSED}
    assert in_order(golden.feed())

    # What was whole before is as it was.
    touched = "2.25.1000", "2.25.1200", "2.25.1500"
    for each in expected()["answers"]:
        path = each["ask"]["path"]
        if path.startswith("/v2/") and "/studies/" in path and not any(study in path for study in touched):
            assert comparable(each["ask"], answer(client, each["ask"])) == comparable(each["ask"], each["answer"]), path


def test_the_archive_can_be_written(golden: Opened) -> None:
    client = golden.client
    work(client)
    before = len(golden.feed())

    # The next update of a study first ends what an earlier one left there.
    told = golden.update("2.25.1100", "After^Release")
    assert (told["status"], told["results"]["instanceUpdated"]) == ("succeeded", 3), told
    assert golden.names("2.25.1100") == {"After^Release"}
    assert golden.names("2.25.1100", **ORIGINAL) == {"Plain^Paul"}
    assert golden.uids("PatientName=After%5ERelease") == ["2.25.1100"]
    assert golden.uids("PatientName=settled&fuzzymatching=true") == []
    # An update of a study that was updated before keeps the first original.
    assert golden.update("2.25.900", "After^Release")["status"] == "succeeded"
    assert golden.names("2.25.900", **ORIGINAL) == {"Plain^Paul"}
    assert golden.uids("PatientName=Changed%5EOnce") == []

    # Studies are deleted and stored again: a whole one, one whose deletion was killed, one whose store was killed.
    assert client.delete(f"{CLINIC}/studies/2.25.400").status_code == 204
    for study, instance in ((400, 402), (1200, 1202), (1300, 1302), (1410, 1412)):
        uids = {"study": f"2.25.{study}", "series": f"2.25.{study + 1}", "instance": f"2.25.{instance}"}
        file = make_instance(**uids, patient_id="NEW", patient_name="New^Nora", PatientAge="007Y", pixel=False)
        assert client.get(f"{CLINIC}/studies/2.25.{study}/metadata").status_code == 404
        response = client.post(f"{CLINIC}/studies", data=file, content_type="application/dicom")
        assert response.status_code == 200, response.text
        found = client.get(
            f"{CLINIC}/studies/2.25.{study}/series/{uids['series']}/instances/{uids['instance']}", headers=AS_STORED
        )
        assert found.data == file
    newest_first = ["2.25.1410", "2.25.1300", "2.25.1200", "2.25.400"]
    assert golden.uids("PatientID=NEW") == newest_first
    assert golden.uids("PatientAge=007Y") == newest_first
    assert golden.uids("PatientName=nor&fuzzymatching=true") == newest_first
    assert golden.uids("PatientName=%E5%B1%B1%E7%94%B0&fuzzymatching=true") == []

    # The same UIDs in another partition are left alone.
    assert client.delete(f"{CLINIC}/studies/2.25.600").status_code == 204
    assert client.get(f"{HOST}/v2/partitions/clinic-b/studies/2.25.600/metadata").status_code == 200

    # Workitems go on.
    body = json.dumps(
        [{"00741000": {"vr": "CS", "Value": ["COMPLETED"]}, "00081195": {"vr": "UI", "Value": ["2.25.60002"]}}]
    )
    path = f"{CLINIC}/workitems/2.25.50002/state"
    assert client.put(path, data=body, content_type="application/dicom+json").status_code == 200
    done = client.get(f"{CLINIC}/workitems?ProcedureStepState=COMPLETED").get_json(force=True)
    assert [row["00080018"]["Value"][0] for row in done] == ["2.25.50003", "2.25.50002"]

    # A tag is deleted and added again; its values are filed anew.
    assert client.delete(f"{HOST}/v2/extendedquerytags/PatientAge").status_code == 204
    tags = [{"path": "PatientAge", "level": "Study"}]
    asked = client.post(f"{HOST}/v2/extendedquerytags", json=tags)
    assert asked.status_code == 202, asked.text
    work(client)
    assert golden.operation(asked.json["id"])["status"] == "succeeded"
    assert golden.uids("PatientAge=007Y") == newest_first

    # The change feed tells all of it, in order.
    feed = golden.feed()
    assert in_order(feed)
    # Two rows of 1100 were left to settle; each update wrote three instances; 400 and 600 had three and two.
    actions = [each["action"] for each in feed[before:]]
    assert {action: actions.count(action) for action in actions} == {"Update": 2 + 3 + 3, "Delete": 3 + 2, "Create": 4}
