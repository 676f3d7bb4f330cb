"""The digest of a stored file: a resend of the same bytes, and the headers of a retrieve (conformance §3.11, §1.3)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from app.errors import ConfigurationError
from app.settings import Settings
from tests.api.test_changefeed import feed
from tests.conftest import Serve
from tests.support.bulk_update import update
from tests.support.dicomweb import PartitionClient, items, value
from tests.support.faults import FOR_EVER, Rule, fail
from tests.support.faulty_engine import Faults
from tests.support.instances import make_instance

STUDY, SERIES, INSTANCE = "2.25.1", "2.25.2", "2.25.3"
UIDS = {"study": STUDY, "series": SERIES, "instance": INSTANCE}
PATH = f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
STORED, FAILED = "00081199", "00081198"
LARGE = bytes(range(256)) * 8192
"""Pixel data of 2 MiB: the body is spooled to a file."""


@pytest.fixture
def lenient(serve: Serve) -> PartitionClient:
    """A service whose answer to a resend is success."""
    return PartitionClient(serve(identical_store="success"))


def reasons(dataset: dict[str, Any]) -> list[Any]:
    return [value(item, "00081197") for item in items(dataset, FAILED)] if FAILED in dataset else []


def digest(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def file(**different: Any) -> bytes:
    return make_instance(**{**UIDS, **different})


@pytest.mark.parametrize("pixels", [b"\1\2", LARGE], ids=["in memory", "spooled"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_identical_bytes_count_as_stored(lenient: PartitionClient, version: str, pixels: bytes) -> None:
    clinic = PartitionClient(lenient.client, f"/{version}/partitions/clinic-a")
    sent = file(PixelData=pixels)
    first = clinic.store(sent)
    entries = feed(clinic.client)
    again = clinic.store(sent)
    assert (again.status_code, again.get_json()) == (200, first.get_json())
    assert feed(clinic.client) == entries


def test_the_preamble_does_not_count(lenient: PartitionClient) -> None:
    sent = file()
    lenient.stored(sent)
    assert lenient.store(b"\1" * 128 + sent[128:]).status_code == 200


def test_other_bytes_are_a_conflict(lenient: PartitionClient) -> None:
    lenient.stored(file())
    answer = lenient.store(file(patient_name="Other^Name"))
    assert (answer.status_code, reasons(answer.get_json())) == (409, [45070])


def test_by_default_identical_bytes_are_a_conflict(clinic: PartitionClient) -> None:
    clinic.stored(file())
    answer = clinic.store(file())
    assert (answer.status_code, reasons(answer.get_json())) == (409, [45070])


def test_the_same_instance_twice_in_one_request(lenient: PartitionClient) -> None:
    answer = lenient.store(file(), file(), file(patient_name="Other^Name"))
    assert (answer.status_code, reasons(answer.get_json())) == (202, [45070])
    assert len(items(answer.get_json(), STORED)) == 2
    assert len(feed(lenient.client)) == 1


def test_identical_bytes_in_another_partition_are_a_store(lenient: PartitionClient) -> None:
    lenient.stored(file())
    PartitionClient(lenient.client, "/v2/partitions/clinic-b").stored(file())
    assert len(feed(lenient.client)) == 2


def test_after_a_deletion_the_bytes_are_stored_again(lenient: PartitionClient) -> None:
    lenient.stored(file())
    assert lenient.delete(PATH).status_code == 204
    lenient.stored(file())
    assert [entry["action"] for entry in feed(lenient.client)] == ["Create", "Delete", "Create"]


def test_after_an_update_the_bytes_of_the_new_file_are_identical(lenient: PartitionClient) -> None:
    lenient.stored(file())
    update(lenient, STUDY, PatientID={"vr": "LO", "Value": ["NEW"]})
    current = lenient.get(PATH, "application/dicom; transfer-syntax=*").data
    assert lenient.store(current).status_code == 200
    answer = lenient.store(file())
    assert (answer.status_code, reasons(answer.get_json())) == (409, [45070])


def test_a_failing_table_gives_no_success(lenient: PartitionClient, faults: Faults) -> None:
    lenient.stored(file())
    faults.add(Rule(fail(), operation="table.get_many", times=FOR_EVER))
    answer = lenient.store(file())
    assert answer.status_code == 503


@pytest.mark.parametrize("pixels", [b"\1\2", LARGE], ids=["in memory", "spooled"])
def test_a_single_part_has_its_digest(clinic: PartitionClient, pixels: bytes) -> None:
    clinic.stored(b"\1" * 128 + file(PixelData=pixels)[128:])
    whole = clinic.get(PATH, "application/dicom; transfer-syntax=*")
    assert whole.headers["Repr-Digest"] == whole.headers["Content-Digest"] == digest(whole.data)
    part = clinic.get(PATH, "application/dicom; transfer-syntax=*", Range="bytes=0-9")
    assert (part.status_code, part.headers["Repr-Digest"]) == (206, digest(whole.data))
    assert "Content-Digest" not in part.headers
    head = clinic.client.head(clinic.prefix + PATH, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert head.headers["Repr-Digest"] == digest(whole.data)
    assert "Content-Digest" not in head.headers


def test_an_updated_file_and_its_original_have_their_own_digests(clinic: PartitionClient) -> None:
    clinic.stored(file())
    before = clinic.get(PATH, "application/dicom; transfer-syntax=*")
    update(clinic, STUDY, PatientID={"vr": "LO", "Value": ["NEW"]})
    after = clinic.get(PATH, "application/dicom; transfer-syntax=*")
    original = clinic.get(PATH, "application/dicom; transfer-syntax=*", msdicom_request_original="true")
    assert after.headers["Repr-Digest"] == digest(after.data) != before.headers["Repr-Digest"]
    assert original.headers["Repr-Digest"] == digest(original.data) == before.headers["Repr-Digest"]


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_a_file_without_a_digest(serve: Serve, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of an older release has no digest: no header, and a resend is a conflict."""
    monkeypatch.setattr("app.services.digest.FileDigest.text", lambda _: "")
    clinic = PartitionClient(serve(identical_store="success"))
    clinic.stored(file())
    monkeypatch.undo()
    answer = clinic.get(PATH, "application/dicom; transfer-syntax=*")
    assert (answer.status_code, "Repr-Digest" in answer.headers) == (200, False)
    assert reasons(clinic.store(file()).get_json()) == [45070]


def test_frames_and_several_parts_have_no_digest(clinic: PartitionClient) -> None:
    clinic.stored(file())
    for path, accept in (
        (PATH, 'multipart/related; type="application/dicom"; transfer-syntax=*'),
        (f"{PATH}/frames/1", "application/octet-stream; transfer-syntax=*"),
    ):
        assert "Repr-Digest" not in clinic.get(path, accept).headers


def test_a_setting_of_another_word_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="BULKHEAD_IDENTICAL_STORE"):
        Settings.from_environment({"BULKHEAD_IDENTICAL_STORE": "maybe"})
