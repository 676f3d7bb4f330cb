"""Writes the golden archives and `expected.json`. It is kept for the record only.

This script runs only with the code of release 0.1.0 (layout 1), before layout versions were recorded. It imports inner
modules of that release, and it stops the service at points which only that release has. Do not run it with newer code,
and do not replace the archives: see README.md.

Usage, in a checkout of that release: python -m tests.golden.write_archive FOLDER
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import itertools
import json
import os
import random
import re
import sqlite3
import sys
import tarfile
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.storage.versions import Versions
from flask.testing import FlaskClient
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from pydicom.dataelem import DataElement
from werkzeug.test import TestResponse

from app import bootstrap, create_app
from app.engines.aws import clients
from app.errors import StorageUnavailable
from app.services import bulk_update_task, reindex
from app.settings import Settings
from app.storage import clock, documents
from app.storage.operations import Operations
from tests.corpus import DEFLATED_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE, RLE, ct, encapsulated, make_instance
from tests.unit.storage.archive import HookedBlobs, HookedTable
from tests.workitems import COMPLETE, name, state, text, workitem

HOST = "http://archive.example"
TABLE = BUCKET = "archive"
DROP = "research-drop"
DESTINATIONS = {
    "embedded": {"type": "file", "settings": {"prefix": "drop"}},
    "aws": {"type": "s3", "settings": {"bucketName": DROP, "prefix": "drop"}},
}
DEFAULT, A, B = "/partitions/Microsoft.Default", "/partitions/clinic-a", "/partitions/clinic-b"
MULTIPART = 'multipart/related; type="application/dicom"; transfer-syntax=*'
FILE_AS_STORED = "application/dicom; transfer-syntax=*"
FRAME_AS_STORED = "application/octet-stream; transfer-syntax=*"
JSON_TYPES = ("application/json", "application/dicom+json")


class Killed(BaseException):
    """The process ends here."""


class Time:
    """The service's clock. It stands still during a call."""

    moment = datetime(2025, 3, 1, 9, 0, tzinfo=UTC).timestamp()


class Process:
    """One run of the service on an archive: the client, and the steps of the worker."""

    def __init__(self, settings: Settings) -> None:
        self._hook: Callable[[str], None] | None = None
        engine = bootstrap.build_engine(settings)
        self.table = engine.table
        engine = bootstrap.Engine(
            HookedTable(engine.table, self._told), HookedBlobs(engine.blobs, self._told), engine.queue, engine.openers
        )
        self.client: FlaskClient = create_app(settings, engine).test_client()
        self.background = self.client.application.extensions["bulkhead"].background

    def _told(self, call: str) -> None:
        if self._hook:
            self._hook(call)

    def call(self, method: str, path: str, *statuses: int, **given: Any) -> TestResponse:
        """Make a call a second after the last one."""
        Time.moment += 1
        response = self.client.open(path, method=method, base_url=HOST, **given)
        assert response.status_code in statuses, (method, path, response.status_code, response.text)
        return response

    def store(self, partition: str, *instances: bytes, version: str = "/v2") -> None:
        for each in instances:
            self.call("POST", f"{version}{partition}/studies", 200, 202, data=each, content_type="application/dicom")

    def work(self) -> None:
        """Do the background work which is due, until there is none."""
        found = [True]
        while any(found):
            found = [step() for step in self.background]

    def killed(self, calls: list[str], act: Callable[[], object]) -> None:
        """Act, and end the process at the last of these calls to the ports, which come in this order."""
        left = list(calls)

        def hook(call: str) -> None:
            if left and call == left[0]:
                left.pop(0)
                if not left:
                    raise Killed

        self._hook = hook
        with suppress(Killed):
            act()
        assert not left, left


# --- the scenario -----------------------------------------------------------------------------------------------------


def uids(study: int, series: int, instance: int) -> dict[str, str]:
    return {"study": f"2.25.{study}", "series": f"2.25.{series}", "instance": f"2.25.{instance}"}


def small(study: int, series: int, instance: int, **attributes: Any) -> bytes:
    return make_instance(**uids(study, series, instance), **attributes)


def private(value: int) -> list[DataElement]:
    return [DataElement(0x12050010, "LO", "ACME 1.0"), DataElement(0x12051003, "SS", value)]


def write(settings: Settings) -> dict[str, str]:
    """Write the archive; return the ids of its operations by name."""
    process = Process(settings)
    fill(process)
    operations = finished_work(process, settings)
    worklist(process)
    operations |= unfinished_work(settings)
    return operations


def fill(process: Process) -> None:
    """Store everything which is stored before there are extended query tags."""
    store = process.store
    store(DEFAULT, ct(**uids(100, 101, 102), rows=8, columns=8, patient_id="D1", patient_name="Default^Dora"))
    store(DEFAULT, small(100, 101, 103, patient_id="D1", patient_name="Default^Dora", InstanceNumber="2"))
    known = {"PatientAge": "054Y", "Occupation": "Carpenter", "ProtocolName": "Chest routine"}
    store(A, ct(**uids(200, 201, 202), rows=8, columns=8), small(200, 201, 203, InstanceNumber="2", **known))
    store(A, small(200, 211, 212, modality="MR", SeriesNumber="2", OtherPatientNames="Roe^Jane", **known))
    store(A, small(300, 301, 302, frames=3, patient_id="P3", patient_name="Frames^Many", study_date="20240220"))
    three = [[bytes([n]) * 20 for n in (1, 2)], [b"\x03" * 31], [b"\x04" * 8, b"\x05" * 10]]
    image = {"patient_id": "P3", "patient_name": "Frames^Many", "study_date": "20240220"}
    store(A, encapsulated(three, **uids(300, 301, 303), **image))
    store(A, encapsulated(three, **uids(300, 301, 304), **image, transfer_syntax=RLE, table="extended"))
    store(A, encapsulated(three[:1], **uids(300, 301, 305), **image, table="none"))
    far = {"patient_id": "P4", "study_date": "20231231", "SpecificCharacterSet": "ISO_IR 192"}
    far["patient_name"] = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    store(A, small(400, 401, 402, **far, transfer_syntax=DEFLATED_LITTLE))
    store(A, small(400, 401, 403, **far, transfer_syntax=EXPLICIT_BIG))
    store(A, small(400, 401, 404, **far, transfer_syntax=IMPLICIT_LITTLE))
    umlaut = {"patient_id": "P5", "patient_name": "Müller^Jürgen", "SpecificCharacterSet": "ISO_IR 100"}
    with every_document_spilled():
        letters = "".join(random.Random(7).choices("abcdefgh01234567", k=6000))
        store(A, small(500, 501, 502, **umlaut, TextValue=letters))
        store(A, encapsulated([[bytes([n]) * (n + 2)] for n in range(40)], **uids(500, 501, 503), **umlaut))
    store(A, small(600, 601, 602, patient_id="A6", patient_name="Same^Anna"))
    # Version 1 keeps a value which breaks its rule in the metadata; version 2 does not.
    faulty = {"patient_id": "A6", "patient_name": "Same^Anna", "ContentDate": "2024-13-01", "PatientAge": "5"}
    store(A, small(600, 601, 603, **faulty), version="/v1")
    store(B, small(600, 601, 602, patient_id="B6", patient_name="Same^Bert", PatientAge="030Y"))
    for study in (700, 800, 810, 900, 1000, 1100, 1200, 1500):
        for instance in (2, 3, 4):
            store(A, small(study, study + 1, study + instance, patient_id=f"P{study}", patient_name="Plain^Paul"))
    store(A, small(700, 711, 712, patient_id="P700"), small(1500, 1511, 1512, patient_id="P1500"))


def finished_work(process: Process, settings: Settings) -> dict[str, str]:
    """Tags, updates, an export and deletions; the background work of all of them ends, but for the sweep."""
    tags = [
        {"path": "PatientAge", "level": "Study"},
        {"path": "OtherPatientNames", "level": "Series"},
        {"path": "12051003", "vr": "SS", "privateCreator": "ACME 1.0", "level": "Instance"},
        {"path": "Occupation", "level": "Study"},
        {"path": "ContentDate", "level": "Instance"},
        {"path": "InstitutionName", "level": "Instance"},
    ]
    operations = {"reindex ended": process.call("POST", "/v2/extendedquerytags", 202, json=tags).json["id"]}
    process.work()
    # The re-index disabled the two tags with errors. One of them is enabled again.
    for tag, status in (("Occupation", "Disabled"), ("PatientAge", "Enabled")):
        process.call("PATCH", f"/v2/extendedquerytags/{tag}", 200, json={"queryStatus": status})
    process.store(A, small(200, 211, 213, modality="MR", PatientAge="054Y", Occupation="Carpenter", extra=private(7)))
    process.store(B, small(610, 611, 612, patient_id="B7", patient_name="Roe^Rita", PatientAge="031Y"))

    for number, change in enumerate(
        (
            {"00100010": name("Changed^Once"), "00104000": text("LT", "A comment")},
            {"00100020": text("LO", "MRN-9"), "00101010": text("AS", "061Y")},
        )
    ):
        operations[f"update {number} ended"] = update(process, 900, change)
        process.work()

    export = {
        "source": {"type": "identifiers", "settings": {"values": ["2.25.200", "2.25.404", "2.25.300/2.25.301/2.25.9"]}},
        "destination": DESTINATIONS[settings.engine],
    }
    operations["export ended"] = process.call("POST", f"/v2{A}/export", 202, json=export).json["id"]
    process.work()

    process.call("DELETE", f"/v2{A}/studies/2.25.700/series/2.25.701/instances/2.25.702", 204)
    process.call("DELETE", f"/v2{A}/studies/2.25.700/series/2.25.711", 204)
    process.call("DELETE", f"/v2{A}/studies/2.25.800", 204)
    process.call("DELETE", f"/v2{A}/studies/2.25.810", 204)
    process.store(A, small(810, 811, 812, patient_id="P810-again", patient_name="Plain^Paul"))
    return operations


def update(process: Process, study: int, change: dict[str, Any]) -> str:
    asked = {"studyInstanceUids": [f"2.25.{study}"], "changeDataset": change}
    operation: str = process.call("POST", f"/v2{A}/studies/$bulkUpdate", 202, json=asked).json["id"]
    return operation


def worklist(process: Process) -> None:
    """A workitem in each state, and one in another partition."""

    def send(method: str, path: str, dataset: dict[str, Any], status: int = 200, partition: str = A) -> None:
        body = json.dumps([dataset]).encode()
        process.call(
            method, f"/v2{partition}/workitems{path}", status, data=body, content_type="application/dicom+json"
        )

    wanted = {1: "SCHEDULED", 2: "IN PROGRESS", 3: "COMPLETED", 4: "CANCELED", 5: "CANCELED"}
    for number, end in wanted.items():
        uid, claim = f"2.25.5000{number}", f"2.25.6000{number}"
        send("POST", f"?{uid}", workitem(T00100020=text("LO", f"W{number}")), 201)
        if number == 5:
            send("POST", f"/{uid}/cancelrequest", {}, 202)
        elif number > 1:
            send("PUT", f"/{uid}/state", state("IN PROGRESS", claim))
            send("POST", f"/{uid}?{claim}", COMPLETE)
            if number > 2:
                send("PUT", f"/{uid}/state", state(end, claim))
    send("POST", "?2.25.50001", workitem(T00100010=name("Roe^Rita")), 201, B)


def unfinished_work(settings: Settings) -> dict[str, str]:
    """Leave everything half done which can be half done."""
    operations = {}
    # A store ends after it reserved its number. A reader of the change feed seals the gap.
    killed_store(settings, 1400, ["table.add done", "table.write"])
    Time.moment += 10
    Process(settings).call("GET", "/v1/changefeed?offset=0&limit=1", 200)

    # An update shows its study, makes one of three rows current, then fails time after time and is given up.
    with one_instance_a_step():
        process = Process(settings)
        operations["update given up"] = update(process, 1100, {"00100010": name("Settled^Half")})
        drive(process, operations["update given up"], "settle")
    with no_settling():
        for _ in range(20):
            Time.moment += 400
            process = Process(settings)
            with suppress(StorageUnavailable):
                while process.background[0]():
                    pass
            if process.client.get(f"/v2/operations/{operations['update given up']}").status_code == 200:
                break

    # An update has written new versions of one of three instances.
    process = Process(settings)
    operations["update half done"] = update(process, 1000, {"00100010": name("Written^Half")})
    with one_instance_a_step():
        drive(process, operations["update half done"], "write")

    # A re-index has looked at two batches.
    process = Process(settings)
    tags = [{"path": "ProtocolName", "level": "Series"}]
    operations["reindex half done"] = process.call("POST", "/v2/extendedquerytags", 202, json=tags).json["id"]
    reindex.BATCH, kept = 20, reindex.BATCH
    for _ in range(3):
        assert process.background[0]()
    reindex.BATCH = kept

    # Stores end after the file is there, and after the number is reserved. Nobody has sealed this gap.
    killed_store(settings, 1300, ["blobs.put done"])
    killed_store(settings, 1410, ["table.add done", "table.write"])

    # Deletions of a study and of a series end after these are closed.
    for path in ("2.25.1200", "2.25.1500/series/2.25.1511"):
        process = Process(settings)
        process.killed(["table.write done"], lambda p=process, at=path: p.call("DELETE", f"/v2{A}/studies/{at}", 204))

    # What follows is only asked for.
    process = Process(settings)
    process.store(B, small(1600, 1601, 1602, patient_id="B16", patient_name="Last^Lara"))
    process.call("DELETE", "/v2/extendedquerytags/InstitutionName", 204)
    export = {
        "source": {"type": "identifiers", "settings": {"values": ["2.25.300", "2.25.405"]}},
        "destination": DESTINATIONS[settings.engine],
    }
    operations["export queued"] = process.call("POST", f"/v2{A}/export", 202, json=export).json["id"]
    return operations


def killed_store(settings: Settings, study: int, calls: list[str]) -> None:
    process = Process(settings)
    process.killed(calls, lambda: process.store(A, small(study, study + 1, study + 2)))


def drive(process: Process, operation: str, phase: str) -> None:
    """Take steps of an update until the phase has done one step; then the worker ends."""
    kept = Operations(process.table)
    for _ in range(50):
        checkpoint = kept.get(operation).checkpoint
        if checkpoint.get("phase") == phase and checkpoint["after"]:
            return
        assert process.background[0]()
    raise AssertionError("The update never gets there.")


@contextmanager
def every_document_spilled() -> Iterator[None]:
    """Let every document be too large for an item, so that the archive stays small."""
    documents.MAX_ITEM_BYTES, kept = documents._ITEM_OVERHEAD, documents.MAX_ITEM_BYTES
    yield
    documents.MAX_ITEM_BYTES = kept


@contextmanager
def one_instance_a_step() -> Iterator[None]:
    bulk_update_task.BATCH, kept = 1, bulk_update_task.BATCH
    yield
    bulk_update_task.BATCH = kept


@contextmanager
def no_settling() -> Iterator[None]:
    def fails(*_: object, **__: object) -> str:
        raise StorageUnavailable

    kept = Versions.settle
    Versions.settle = fails  # type: ignore[method-assign]
    yield
    Versions.settle = kept  # type: ignore[method-assign]


# --- the answers ------------------------------------------------------------------------------------------------------

QUERIES = {
    "studies": (
        "PatientID=P1",
        "PatientID=MRN-9",
        "PatientName=doe&fuzzymatching=true",
        "PatientName=m%C3%BCll&fuzzymatching=true",
        f"PatientName={quote('山田')}&fuzzymatching=true",
        "PatientName=Changed%5EOnce",
        "PatientName=settled&fuzzymatching=true",
        "PatientName=written&fuzzymatching=true",
        "StudyDate=20240101-20240131",
        "StudyDate=-20240101",
        "StudyDate=20240220",
        "ModalitiesInStudy=MR",
        "PatientAge=054Y",
        "PatientAge=061Y&includefield=PatientAge",
        "Occupation=Carpenter",
        f"InstitutionName={quote('Hôpital général')}",
    ),
    "series": ("Modality=MR", "OtherPatientNames=roe&fuzzymatching=true", "ProtocolName=Chest%20routine"),
    "instances": ("12051003=7", "ContentDate=20240115", "ContentDate=20240101-20241231", "PatientID=A6"),
    "workitems": ("", "ProcedureStepState=COMPLETED", "PatientName=smi&fuzzymatching=true", "PatientID=W2&limit=1"),
}
TAGS = ("PatientAge", "OtherPatientNames", "12051003", "Occupation", "ContentDate", "ProtocolName")
GONE = ("2.25.800", "2.25.1200", "2.25.1300", "2.25.1400", "2.25.1410")


def asked(client: FlaskClient, operations: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yield the calls whose answers are kept."""
    for version, partition in itertools.product(("/v1", "/v2"), (DEFAULT, A, B)):
        base = version + partition
        for level in ("studies", "series", "instances"):
            yield {"path": f"{base}/{level}?includefield=all&limit=200"}
        for resource, queries in QUERIES.items():
            for query in queries:
                yield {"path": f"{base}/{resource}?{query}"}
        for number in range(1, 6):
            yield {"path": f"{base}/workitems/2.25.5000{number}"}
        for study in GONE:
            yield {"path": f"{base}/studies/{study}/metadata"}
        yield from retrieved(client, base)
    for version in ("/v1", "/v2"):
        yield {"path": f"{version}/partitions"}
        yield {"path": f"{version}/extendedquerytags"}
        for tag in TAGS:
            yield {"path": f"{version}/extendedquerytags/{tag}"}
            yield {"path": f"{version}/extendedquerytags/{tag}/errors"}
        for operation in operations.values():
            yield {"path": f"{version}/operations/{operation}"}
        yield {"path": f"{version}/changefeed/latest"}
    for offset in (0, 100):
        yield {"path": f"/v1/changefeed?offset={offset}&limit=100"}
    window = "startTime=2025-03-01T00:00:00Z&endTime=2025-03-02T00:00:00Z"
    for offset in (0, 50):
        yield {"path": f"/v2/changefeed?{window}&includemetadata=false&limit=50&offset={offset}"}


def retrieved(client: FlaskClient, base: str) -> Iterator[dict[str, str]]:
    original = {"msdicom-request-original": "true"}
    studies = client.get(f"{base}/studies?limit=200", base_url=HOST).get_json(force=True)
    for study in (f"{base}/studies/{row['0020000D']['Value'][0]}" for row in studies):
        yield {"path": f"{study}/metadata"}
        yield {"path": f"{study}/metadata", **original}
        yield {"path": f"{study}/series?includefield=all"}
        yield {"path": study, "Accept": MULTIPART}
        rows = client.get(f"{study}/instances?limit=200&includefield=NumberOfFrames", base_url=HOST)
        for row in rows.get_json(force=True):
            instance = f"{study}/series/{row['0020000E']['Value'][0]}/instances/{row['00080018']['Value'][0]}"
            yield {"path": instance, "Accept": FILE_AS_STORED}
            yield {"path": instance, "Accept": FILE_AS_STORED, **original}
            yield {"path": instance, "Accept": "application/dicom"}
            frames = row.get("00280008", {}).get("Value", [1])[0]
            for frame in range(1, min(int(frames), 4) + 1):
                yield {"path": f"{instance}/frames/{frame}", "Accept": FRAME_AS_STORED}


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


# --- packing ----------------------------------------------------------------------------------------------------------


def packed(files: dict[str, bytes]) -> bytes:
    """A tar.gz whose bytes follow from the files alone."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path, body in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(body), 0o644
            tar.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()


def dumped_folder(folder: Path) -> dict[str, bytes]:
    with sqlite3.connect(folder / "index.sqlite") as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    connection.close()
    every = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith((".lock", "-wal", "-shm")))
    return {str(path.relative_to(folder)): path.read_bytes() for path in every}


def dumped_account(dynamodb: Any, s3: Any) -> dict[str, bytes]:
    pages = dynamodb.get_paginator("scan").paginate(TableName=TABLE)
    items = sorted(
        itertools.chain.from_iterable(page["Items"] for page in pages), key=lambda i: (i["pk"]["S"], i["sk"]["S"])
    )

    def line(item: dict[str, Any]) -> str:
        return json.dumps(item, ensure_ascii=False, sort_keys=True, default=lambda b: base64.b64encode(b).decode())

    files = {"items.jsonl": "".join(f"{line(item)}\n" for item in items).encode()}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for entry in page.get("Contents", ()):
            files[f"objects/{entry['Key']}"] = s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
    return files


# --- both engines -----------------------------------------------------------------------------------------------------


def embedded() -> tuple[bytes, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings(data_dir=folder / "data", export_dir=folder / "exports", log_level="error")
        settings.export_dir.mkdir()
        bootstrap.initialise(settings)
        operations = write(settings)
        archive = packed(dumped_folder(folder / "data"))
        return archive, answers(settings, operations)


def aws() -> tuple[bytes, dict[str, Any]]:
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    process_request, turn = BotocoreStubber.process_request, threading.RLock()

    def one_by_one(stubber: BotocoreStubber, request: Any) -> Any:
        with turn:
            return process_request(stubber, request)

    BotocoreStubber.process_request = one_by_one
    with mock_aws():
        dynamodb, s3 = clients.dynamodb(), clients.s3()
        clients.dynamodb = lambda *_, **__: dynamodb
        clients.s3 = lambda *_, **__: s3
        settings = Settings(engine="aws", table=TABLE, bucket=BUCKET, log_level="error")
        bootstrap.initialise(settings)
        s3.create_bucket(Bucket=DROP)
        operations = write(settings)
        archive = packed(dumped_account(dynamodb, s3))
        return archive, answers(settings, operations)


def answers(settings: Settings, operations: dict[str, str]) -> dict[str, Any]:
    """What a fresh process answers, years later; nothing that waits has been done."""
    Time.moment += 100 * 86_400
    client = create_app(settings).test_client()
    asks = list(asked(client, operations))
    return {"operations": operations, "answers": [{"ask": ask, "answer": answer(client, ask)} for ask in asks]}


def deterministic() -> None:
    """Let time and ids of the service follow from the calls alone."""
    numbers, fresh = random.Random(0), uuid.uuid4
    Time.moment = datetime(2025, 3, 1, 9, 0, tzinfo=UTC).timestamp()

    def uuid4() -> uuid.UUID:
        caller = sys._getframe(1).f_globals["__name__"]
        same_on_both = caller.startswith("app.") and not caller.startswith("app.engines.aws")
        return uuid.UUID(int=numbers.getrandbits(128), version=4) if same_on_both else fresh()

    uuid.uuid4 = uuid4
    clock.now = lambda: Time.moment


def main(folder: Path) -> None:
    found = {}
    unique = uuid.uuid4
    for engine, written in (("embedded", embedded), ("aws", aws)):
        uuid.uuid4 = unique
        deterministic()
        archive, found[engine] = written()
        (folder / f"{engine}.tar.gz").write_bytes(archive)
    differing = [
        (one, two) for one, two in zip(found["embedded"]["answers"], found["aws"]["answers"], strict=True) if one != two
    ]
    assert not differing, json.dumps(differing[:3], indent=1, ensure_ascii=False)[:6000]
    assert found["embedded"] == found["aws"]
    expected = json.dumps(found["embedded"], ensure_ascii=False, indent=1).encode()
    (folder / "expected.json.gz").write_bytes(gzip.compress(expected, mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
