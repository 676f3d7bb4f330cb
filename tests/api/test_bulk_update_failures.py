"""Bulk updates that fail, and updated instances that are stored again or deleted (conformance §12.5, §12.8)."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import BinaryIO

import pytest
from flask.testing import FlaskClient

from app import bootstrap
from app.errors import BlobMissing
from app.services.operations import runner
from app.services.update import task
from app.storage.index import sweep
from app.storage.records.rows import StudyRow
from app.storage.table import clock
from app.storage.updates import version_changes
from app.storage.updates.study_versions import StudyVersions, VerifiedStudy
from tests.conftest import Serve
from tests.support.background import work
from tests.support.bulk_update import (
    INSTANCE,
    LEVELS,
    OTHER,
    PATIENT_ID,
    SERIES,
    STUDY,
    etag,
    metadata,
    post_update,
    update,
    update_body,
)
from tests.support.dicomweb import PartitionClient, value
from tests.support.instances import make_instance


def test_later_store_overwrites_the_index(clinic: PartitionClient, study_to_update: bytes) -> None:
    update(clinic)
    clinic.stored(make_instance(study=STUDY, series=SERIES, patient_id="P9"))
    (found,) = json.loads(clinic.get("/studies?PatientID=P9").data)
    assert value(found, "0020000D") == STUDY
    assert sorted(document[PATIENT_ID]["Value"][0] for document in metadata(clinic, LEVELS["study"])) == [
        *["MRN-7"] * 3,
        "P9",
    ]


def test_updated_instance_is_still_a_duplicate(clinic: PartitionClient, study_to_update: bytes) -> None:
    update(clinic)
    response = clinic.store(study_to_update)
    assert response.status_code == 409
    assert value(json.loads(response.data)["00081198"]["Value"][0], "00081197") == 45070


@pytest.mark.parametrize("level", LEVELS)
def test_deletion_removes_both_versions(
    serve: Serve, engine: bootstrap.Engine, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    monkeypatch.setattr(version_changes, "READERS_SECONDS", 0)
    monkeypatch.setattr(sweep, "CLEANUP_SECONDS", 0)
    versions: list[str] = []
    put = engine.blobs.put

    def record_key_and_put(_: object, key: str, body: BinaryIO) -> int:
        if key.endswith(".dcm"):
            versions.append(key)
        return put(key, body)

    monkeypatch.setattr(type(engine.blobs), "put", record_key_and_put)
    caller = PartitionClient(serve(delete_delay_seconds=0))  # the service keeps the method that it finds
    caller.stored(make_instance(study=STUDY, series=SERIES, instance=INSTANCE))
    update(caller)
    update(caller)
    assert [exists(engine, key) for key in versions] == [True, False, True]
    caller.delete(LEVELS[level])
    work(caller.client)
    assert [exists(engine, key) for key in versions] == [False] * 3
    caller.stored(make_instance(study=STUDY, series=SERIES, instance=INSTANCE))
    assert update(caller)["results"]["instanceUpdated"] == 1


def exists(engine: bootstrap.Engine, key: str) -> bool:
    try:
        engine.blobs.open(key).close()
    except BlobMissing:
        return False
    return True


def test_failing_instance_fails_only_its_study(
    clinic: PartitionClient,
    client: FlaskClient,
    engine: bootstrap.Engine,
    study_to_update: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing = [(f"2.25.12{n}", f"2.25.13{n}") for n in range(7)]
    clinic.stored(*(make_instance(study="2.25.12", series=s, instance=i) for s, i in failing))
    before = {path: etag(clinic, path) for path in ("/studies/2.25.12", f"/studies/{OTHER}")}
    services = client.application.extensions["bulkhead"]
    partition = services.partitions.resolve("clinic-a", create=False)
    rows = services.retrieve.instances(partition, "2.25.12")
    engine.blobs.delete([row.blob for row in rows])
    monkeypatch.setattr(task, "BATCH", 50)
    operation = update(clinic, STUDY, "2.25.12", OTHER)
    assert operation["status"] == "failed"
    assert operation["percentComplete"] == 100
    counts = {"studyProcessed": 3, "studyUpdated": 2, "studyFailed": 1, "instanceUpdated": 4}
    errors = operation["results"].pop("errors")
    assert operation["results"] == counts
    assert errors[0] == "Failed to update instances for study 2.25.12"
    assert len(errors) == 7
    for (series, instance), line in zip(failing, errors[1:6], strict=False):
        place = f"SeriesInstanceUID: {series}, SOPInstanceUID: {instance}"
        assert line.endswith(f"PartitionKey: clinic-a, StudyInstanceUID: 2.25.12, {place}")
    assert errors[6].startswith("There are more instances failed")
    assert etag(clinic, "/studies/2.25.12") == before["/studies/2.25.12"]
    assert etag(clinic, f"/studies/{OTHER}") != before[f"/studies/{OTHER}"]
    (found,) = json.loads(clinic.get("/studies?PatientID=P1").data)
    assert value(found, "0020000D") == "2.25.12"
    assert post_update(clinic, update_body()).status_code == 202, "the next update may start"


def test_study_whose_step_always_fails_does_not_stop_the_others(
    clinic: PartitionClient, client: FlaskClient, study_to_update: bytes
) -> None:
    """Its pending versions are reverted, and the studies after it are updated."""
    clinic.stored(*(make_instance(study="2.25.12", series="2.25.13") for _ in range(3)))
    before = etag(clinic, "/studies/2.25.12")
    elapsed: list[int] = []
    verify = StudyVersions.verify

    def fail_in_one_study(self: StudyVersions, study: StudyRow, limit: int) -> VerifiedStudy:
        if study.study == "2.25.12":
            raise RuntimeError("a defect")
        return verify(self, study, limit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "time", SimpleNamespace(time=lambda: time.time() + sum(elapsed)))
        patch.setattr(runner, "SCAN_SECONDS", 0)
        patch.setattr(StudyVersions, "verify", fail_in_one_study)
        operation_id = post_update(clinic, update_body(STUDY, "2.25.12", OTHER)).get_json()["id"]
        for _ in range(1 + runner.MAX_ATTEMPTS):
            with pytest.raises(RuntimeError):
                work(client)
            elapsed.append(600)
        work(client)
    operation = client.get(f"/v2/operations/{operation_id}").get_json()
    assert operation["status"] == "failed"
    counts = {"studyProcessed": 3, "studyUpdated": 2, "studyFailed": 1, "instanceUpdated": 4}
    assert operation["results"] == counts | {"errors": ["Failed to update instances for study 2.25.12"]}
    assert etag(clinic, "/studies/2.25.12") == before
    (found,) = json.loads(clinic.get("/studies?PatientID=P1").data)
    assert value(found, "0020000D") == "2.25.12"
    assert update(clinic, "2.25.12")["results"]["instanceUpdated"] == 3
