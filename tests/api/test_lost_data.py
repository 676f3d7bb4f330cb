"""Lost documents and files: a 503 that names the instance, in the answer, in the log and in the health check.

An instance that is deleted while a request reads it is left out, and nothing is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
import pytest
import structlog
from flask.testing import FlaskClient
from structlog.testing import capture_logs

from app import bootstrap
from app.errors import LostData
from app.storage.records import documents
from app.storage.records.rows import InstanceRow
from app.storage.table import keys
from app.storage.table.ports import Delete
from tests.conftest import Serve
from tests.support.background import work
from tests.support.dicomweb import AS_STORED, PartitionClient, value
from tests.support.instances import encapsulated, make_instance

STUDY, SERIES, LOST, KEPT = "2.25.1", "2.25.2", "2.25.3", "2.25.4"
PATHS = f"/studies/{STUDY}/series/{SERIES}/instances/{LOST}"
ANY_SYNTAX = "application/octet-stream; transfer-syntax=*"
NAMED = f"of the instance {STUDY}/{SERIES}/{LOST} is lost."


class LossyArchive(NamedTuple):
    """An archive with two instances of one series, and what is needed to lose the documents of one."""

    client: FlaskClient
    engine: bootstrap.Engine
    clinic: PartitionClient
    spilled: bool

    def row(self) -> InstanceRow:
        """The index row of the instance that loses something."""
        services = self.client.application.extensions["bulkhead"]
        partition = services.partitions.resolve("clinic-a", create=False)
        (row,) = services.retrieve.instances(partition, STUDY, SERIES, LOST)
        return row  # type: ignore[no-any-return]

    def lose_metadata(self) -> str:
        """Remove the metadata document; the error message that names it."""
        row = self.row()
        if self.spilled:
            self.engine.blobs.delete([keys.spilled_metadata(row.blob)])
        else:
            self.engine.table.write(Delete(keys.metadata(row.partition, STUDY, row.watermark)))
        return f"The metadata document {NAMED}"

    def lose_frame_table(self) -> str:
        """Remove the frame table; the error message that names it."""
        row = self.row()
        if self.spilled:
            self.engine.blobs.delete([keys.spilled_frames(row.blob)])
        else:
            self.engine.table.write(Delete(keys.frames(row.partition, STUDY, row.watermark)))
        return f"The frame table {NAMED}"

    def lose_file(self) -> str:
        """Remove the file; the error message that names it."""
        self.engine.blobs.delete([self.row().blob])
        return f"The file {NAMED}"

    def health(self) -> dict[str, Any]:
        """The check of stored data, made anew."""
        checks = self.client.application.extensions["bulkhead"].health()
        (check,) = (each for each in checks if each.name == "data")
        return check._asdict()  # type: ignore[no-any-return]


@pytest.fixture(params=["in the table", "spilled to a blob"])
def archive(
    request: pytest.FixtureRequest, engine: bootstrap.Engine, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> LossyArchive:
    """The archive with documents in items of the table, and with every document in a blob."""
    spilled = request.param == "spilled to a blob"
    if spilled:
        monkeypatch.setattr(documents, "MAX_ITEM_BYTES", documents._ITEM_OVERHEAD)
    client = serve()
    clinic = PartitionClient(client)
    image = [[b"\xff\xd8" + bytes([n]) * 20 + b"\xff\xd9"] for n in range(2)]
    for instance in (LOST, KEPT):
        clinic.stored(encapsulated(image, study=STUDY, series=SERIES, instance=instance, OperatorsName="Lee"))
    return LossyArchive(client, engine, clinic, spilled)


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """The log lines of the test."""
    with capture_logs() as lines:
        yield lines
    structlog.reset_defaults()


METADATA_READS = {
    "study metadata": f"/studies/{STUDY}/metadata",
    "series metadata": f"/studies/{STUDY}/series/{SERIES}/metadata",
    "instance metadata": f"{PATHS}/metadata",
    "search for instances": "/instances?includefield=OperatorsName",
    "search for a study": "/studies?includefield=OperatorsName&limit=1",
    "search for a series": "/series?includefield=OperatorsName&limit=1",
}


@pytest.mark.parametrize("path", METADATA_READS.values(), ids=METADATA_READS.keys())
def test_a_lost_metadata_document_is_503(archive: LossyArchive, path: str, logged: list[Any]) -> None:
    if "limit=1" in path:  # the newest instance stands for its study and series
        assert archive.clinic.delete(f"/studies/{STUDY}/series/{SERIES}/instances/{KEPT}").status_code == 204
    message = archive.lose_metadata()
    for _ in range(2):
        response = archive.clinic.get(path)
        assert (response.status_code, response.text) == (503, message)
    (line, *_) = (each for each in logged if each["event"] == "stored object lost")
    assert line["log_level"] == "error"
    assert {name: line[name] for name in ("object", "study", "series", "instance")} == {
        "object": "metadata document",
        "study": STUDY,
        "series": SERIES,
        "instance": LOST,
    }


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("latest", [True, False])
def test_a_change_feed_with_metadata_is_503(archive: LossyArchive, version: str, latest: bool) -> None:
    if latest:
        archive.clinic.delete(f"/studies/{STUDY}/series/{SERIES}/instances/{KEPT}")
        archive.clinic.stored(encapsulated([[b"\xff\xd8\xff\xd9"]], study="2.25.9"))
        archive.clinic.delete("/studies/2.25.9")
    message = archive.lose_metadata()
    path = f"/{version}/changefeed"
    response = archive.client.get(f"{path}?includemetadata=true")
    assert (response.status_code, response.text) == (503, message)
    without = archive.client.get(f"{path}?includemetadata=false")
    assert without.status_code == 200
    assert without.json[0]["state"] == "Current"


@pytest.mark.parametrize(
    ("path", "accept"),
    [(f"{PATHS}/frames/1", ANY_SYNTAX), (f"{PATHS}/frames/9", ANY_SYNTAX), (PATHS, "application/dicom")],
    ids=["a frame", "a frame beyond the last", "a transcoded file"],
)
def test_a_lost_frame_table_is_503(archive: LossyArchive, path: str, accept: str) -> None:
    message = archive.lose_frame_table()
    response = archive.clinic.get(path, accept)
    assert (response.status_code, response.text) == (503, message)
    assert archive.clinic.get(PATHS, AS_STORED).status_code == 200


def test_an_instance_without_pixel_data_has_no_frame_table_to_lose(archive: LossyArchive) -> None:
    report = make_instance(study="2.25.9", series="2.25.8", instance="2.25.7", pixel=False)
    compressed = make_instance(
        study="2.25.9", series="2.25.8", instance="2.25.6", pixel=False, transfer_syntax="1.2.840.10008.1.2.4.50"
    )
    archive.clinic.stored(report, compressed)
    for instance in ("2.25.7", "2.25.6"):
        response = archive.clinic.get(f"/studies/2.25.9/series/2.25.8/instances/{instance}/frames/1", ANY_SYNTAX)
        assert (response.status_code, response.text) == (404, "The specified frame cannot be found.")
    assert archive.health()["status"] == "Healthy"


def test_the_health_check_counts_each_lost_object_once(archive: LossyArchive) -> None:
    assert archive.health()["status"] == "Healthy"
    archive.lose_metadata()
    archive.lose_frame_table()
    for _ in range(3):
        archive.clinic.get(f"{PATHS}/metadata")
        archive.clinic.get(f"{PATHS}/frames/1", ANY_SYNTAX)
    response = archive.client.get("/health/check")
    assert (response.status_code, response.json["overallStatus"]) == (200, "Degraded")
    (check,) = (each for each in response.json["details"] if each["name"] == "data")
    assert check == {
        "name": "data",
        "status": "Degraded",
        "description": (
            "Stored objects that are lost, found since this process started: 2. The log names each of them."
        ),
        "data": {},
    }


@pytest.mark.parametrize("lose", ["lose_metadata", "lose_frame_table", "lose_file"])
def test_a_bulk_update_fails_and_says_what_is_lost(archive: LossyArchive, lose: str) -> None:
    message = getattr(archive, lose)()
    changes = {"studyInstanceUids": [STUDY], "changeDataset": {"00100020": {"vr": "LO", "Value": ["NEW"]}}}
    asked = archive.clinic.post(orjson.dumps(changes), "application/json", "/studies/$bulkUpdate")
    work(archive.client)
    operation = archive.client.get(asked.json["href"]).json
    assert operation["status"] == "failed"
    _, error = operation["results"]["errors"]
    assert error.startswith(f"{message} ")
    assert archive.health()["status"] == "Degraded"


def test_a_re_index_ends_and_the_tag_has_an_error(archive: LossyArchive) -> None:
    message = archive.lose_metadata()
    asked = archive.client.post("/v2/extendedquerytags", json=[{"path": "OperatorsName", "level": "Instance"}])
    work(archive.client)
    assert archive.client.get(asked.json["href"]).json["status"] == "succeeded"
    (error,) = archive.client.get("/v2/extendedquerytags/OperatorsName/errors").get_json()
    assert (error["sopInstanceUid"], error["errorMessage"]) == (LOST, message)
    enabled = archive.client.patch("/v2/extendedquerytags/OperatorsName", json={"queryStatus": "Enabled"})
    assert enabled.status_code == 200, enabled.text
    found = archive.clinic.get("/instances?OperatorsName=Lee")
    assert found.headers["erroneous-dicom-attributes"] == "OperatorsName"
    assert [value(match, "00080018") for match in found.json] == [KEPT]
    assert archive.health()["status"] == "Degraded"


def test_a_loss_after_the_first_bytes_breaks_the_answer(client: FlaskClient, engine: bootstrap.Engine) -> None:
    clinic = PartitionClient(client)
    for instance in (LOST, KEPT, "2.25.5"):
        clinic.stored(make_instance(study=STUDY, series=SERIES, instance=instance, TextValue="x" * 900_000))
    archive = LossyArchive(client, engine, clinic, spilled=False)
    archive.lose_metadata()
    for path in (
        f"{clinic.prefix}/studies/{STUDY}/metadata",
        f"{clinic.prefix}/instances?includefield=TextValue",
    ):
        response = client.get(path)
        assert response.status_code == 200
        with pytest.raises(LostData, match=f"{LOST} is lost"):
            list(response.iter_encoded())
    assert archive.health()["status"] == "Degraded"


# --- deleted and updated meanwhile --------------------------------------------------------------------------------


def test_an_instance_deleted_meanwhile_is_left_out(archive: LossyArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []
    reads = ("/instances?includefield=OperatorsName", f"/studies/{STUDY}/metadata")
    for path in reads:
        delete_before_the_documents_are_read(archive, monkeypatch)
        answers.append([value(dataset, "00080018") for dataset in archive.clinic.get(path).json])
        monkeypatch.undo()
        if archive.spilled:
            monkeypatch.setattr(documents, "MAX_ITEM_BYTES", documents._ITEM_OVERHEAD)
        image = [[b"\xff\xd8" + bytes([n]) * 20 + b"\xff\xd9"] for n in range(2)]
        archive.clinic.stored(encapsulated(image, study=STUDY, series=SERIES, instance=LOST, OperatorsName="Lee"))
    assert answers == [[KEPT], [KEPT]]
    assert archive.health()["status"] == "Healthy"


def test_a_feed_entry_whose_instance_is_deleted_meanwhile_says_so(
    archive: LossyArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete_before_the_documents_are_read(archive, monkeypatch)
    entries = archive.client.get("/v2/changefeed?includemetadata=true").json
    shown = [(each["sopInstanceUid"], each["state"], "metadata" in each) for each in entries]
    assert shown == [(LOST, "Deleted", False), (KEPT, "Current", True)]
    assert archive.health()["status"] == "Healthy"


def delete_before_the_documents_are_read(archive: LossyArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another request delete the instance after the rows are read and before its document is."""
    read = documents.Documents._packed_documents

    def late(self: documents.Documents, items: Iterator[documents.RowItem]) -> Iterator[documents.RowDocument]:
        assert archive.clinic.delete(PATHS).status_code == 204
        return read(self, items)

    monkeypatch.setattr(documents.Documents, "_packed_documents", late)


def test_an_instance_updated_meanwhile_has_its_new_metadata(
    archive: LossyArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documents of a replaced version are removed some time after the update."""
    update(archive, "041Y")
    read = documents.Documents._packed_documents

    def late(self: documents.Documents, rows: Iterator[documents.RowItem]) -> Iterator[documents.RowDocument]:
        monkeypatch.setattr(documents.Documents, "_packed_documents", read)
        replaced = archive.row()
        update(archive, "042Y")
        archive.engine.table.write(Delete(keys.metadata(replaced.partition, STUDY, replaced.watermark)))
        archive.engine.blobs.delete([keys.spilled_metadata(replaced.blob)])
        return read(self, rows)

    for path in (f"/studies/{STUDY}/series/{SERIES}/metadata", "/instances?includefield=PatientAge"):
        monkeypatch.setattr(documents.Documents, "_packed_documents", late)
        found = archive.clinic.get(path).get_json(force=True)
        ages = {value(dataset, "00080018"): value(dataset, "00101010") for dataset in found}
        assert ages[LOST] == "042Y"
    assert archive.health()["status"] == "Healthy"


def update(archive: LossyArchive, age: str) -> None:
    """Give the patient of the study another age, which the index does not have."""
    changes = {"studyInstanceUids": [STUDY], "changeDataset": {"00101010": {"vr": "AS", "Value": [age]}}}
    asked = archive.clinic.post(orjson.dumps(changes), "application/json", "/studies/$bulkUpdate")
    work(archive.client)
    assert archive.client.get(asked.get_json(force=True)["href"]).get_json(force=True)["status"] == "succeeded"
