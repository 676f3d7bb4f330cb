"""What others wrote: `dicomweb-client` against a live server, and every file that pydicom brings along."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from dicomweb_client import DICOMwebClient
from flask.testing import FlaskClient
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_files
from pydicom.dataset import FileDataset
from pydicom.misc import is_dicom
from requests import HTTPError
from werkzeug.serving import WSGIRequestHandler, make_server

from app.services.store.report import EXISTS, INVALID
from tests.support.dicomweb import AS_STORED, PartitionClient, comments, items, parts, value
from tests.support.instances import make_instance, multiframe, read

# --- dicomweb-client ----------------------------------------------------------------------------------------------


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        pass


@pytest.fixture
def url(client: FlaskClient) -> Iterator[str]:
    """The service on loopback."""
    server = make_server("127.0.0.1", 0, client.application, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def dicomweb(url: str, version: str) -> DICOMwebClient:
    """The client, configured with nothing but a URL."""
    return DICOMwebClient(f"{url}{version}/partitions/clinic-a")


everywhere = pytest.mark.parametrize(
    ("settings", "version"),
    [("embedded", "/v2"), ("embedded", "/v1"), ("embedded", ""), ("moto", "/v2")],
    indirect=["settings"],
)


@pytest.fixture
def study(dicomweb: DICOMwebClient) -> list[FileDataset]:
    """Three instances in two series, one of them with five frames, stored."""
    files = [
        make_instance(study="2.25.1", series="2.25.2", instance="2.25.3", patient_name="Doe^Jane", StudyTime="101500"),
        make_instance(study="2.25.1", series="2.25.2", instance="2.25.4", patient_name="Doe^Jane"),
        multiframe(5, rows=8, columns=8, study="2.25.1", series="2.25.5", instance="2.25.6", patient_name="Doe^Jane"),
    ]
    datasets = [read(file) for file in files]
    answer = dicomweb.store_instances(datasets)
    assert len(answer.ReferencedSOPSequence) == 3
    assert "FailedSOPSequence" not in answer
    return datasets  # type: ignore[return-value]  # files, read


@everywhere
def test_the_client_stores(dicomweb: DICOMwebClient, study: list[FileDataset]) -> None:
    more = read(make_instance(study="2.25.1", series="2.25.2", instance="2.25.7"))
    answer = dicomweb.store_instances([more, study[0]], study_instance_uid="2.25.1")
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == ["2.25.7"]
    assert [item.FailureReason for item in answer.FailedSOPSequence] == [EXISTS]
    with pytest.raises(HTTPError, match="409"):
        dicomweb.store_instances(study)


@everywhere
def test_the_client_searches(dicomweb: DICOMwebClient, study: list[FileDataset]) -> None:
    (found,) = [Dataset.from_json(each) for each in dicomweb.search_for_studies(search_filters={"PatientID": "P1"})]
    assert (found.StudyInstanceUID, str(found.PatientName)) == ("2.25.1", "Doe^Jane")
    assert dicomweb.search_for_studies(search_filters={"PatientID": "P2"}) == []
    assert len(dicomweb.search_for_studies(fuzzymatching=True, search_filters={"PatientName": "do"})) == 1
    assert len(dicomweb.search_for_series("2.25.1")) == 2
    assert len(dicomweb.search_for_series()) == 2
    assert len(dicomweb.search_for_instances("2.25.1")) == 3
    assert len(dicomweb.search_for_instances("2.25.1", "2.25.2")) == 2
    assert len(dicomweb.search_for_instances(limit=2)) == 2
    assert len(dicomweb.search_for_instances(limit=2, offset=2)) == 1
    (one,) = dicomweb.search_for_studies(fields=["NumberOfStudyRelatedInstances", "ModalitiesInStudy"])
    assert (value(one, "00201208"), value(one, "00080061")) == (3, "CT")


@everywhere
def test_the_client_retrieves(dicomweb: DICOMwebClient, study: list[FileDataset]) -> None:
    found = dicomweb.retrieve_study("2.25.1")
    assert sorted(each.SOPInstanceUID for each in found) == ["2.25.3", "2.25.4", "2.25.6"]
    assert len(dicomweb.retrieve_series("2.25.1", "2.25.2")) == 2
    one = dicomweb.retrieve_instance("2.25.1", "2.25.5", "2.25.6")
    assert one == study[2]
    assert one.PixelData == study[2].PixelData
    assert len(list(dicomweb.iter_study("2.25.1"))) == 3


@everywhere
def test_the_client_asks_for_a_transfer_syntax(dicomweb: DICOMwebClient, study: list[FileDataset]) -> None:
    syntax = "1.2.840.10008.1.2.1"
    media_types = (("application/dicom", syntax),)
    one = dicomweb.retrieve_instance("2.25.1", "2.25.2", "2.25.3", media_types=media_types)
    assert one.file_meta.TransferSyntaxUID == syntax


@everywhere
def test_the_client_reads_metadata(dicomweb: DICOMwebClient, study: list[FileDataset]) -> None:
    assert len(dicomweb.retrieve_study_metadata("2.25.1")) == 3
    assert len(dicomweb.retrieve_series_metadata("2.25.1", "2.25.2")) == 2
    found = Dataset.from_json(dicomweb.retrieve_instance_metadata("2.25.1", "2.25.2", "2.25.3"))
    assert (found.StudyTime, found.Rows) == ("101500", 4)


@everywhere
def test_the_client_reads_frames(dicomweb: DICOMwebClient, study: list[FileDataset]) -> None:
    pixels = np.frombuffer(study[2].PixelData, "<u2").reshape(5, 8, 8)
    frames = dicomweb.retrieve_instance_frames("2.25.1", "2.25.5", "2.25.6", frame_numbers=[1, 3, 5])
    for frame, number in zip(frames, (0, 2, 4), strict=True):
        assert frame == pixels[number].tobytes()


@everywhere
def test_the_client_deletes(dicomweb: DICOMwebClient, study: list[FileDataset]) -> None:
    dicomweb.delete_instance("2.25.1", "2.25.2", "2.25.3")
    dicomweb.delete_series("2.25.1", "2.25.5")
    assert [value(each, "00080018") for each in dicomweb.search_for_instances("2.25.1")] == ["2.25.4"]
    dicomweb.delete_study("2.25.1")
    assert dicomweb.search_for_studies() == []


def test_two_partitions_are_two_archives(url: str) -> None:
    clients = [DICOMwebClient(f"{url}/v2/partitions/{name}") for name in ("clinic-a", "clinic-b")]
    for number, each in enumerate(clients):
        file = make_instance(study="2.25.1", series="2.25.2", instance="2.25.3", patient_id=f"P{number}")
        each.store_instances([read(file)])
    clients[0].delete_study("2.25.1")
    assert clients[0].search_for_studies() == []
    assert [value(each, "00100020") for each in clients[1].search_for_studies()] == ["P1"]
    assert clients[1].retrieve_study("2.25.1")[0].PatientID == "P1"


# --- the files of pydicom -----------------------------------------------------------------------------------------


@cache
def bundled() -> dict[str, bytes]:
    """The Part 10 files that pydicom brings along, by name; those it would have to fetch are left out."""
    found = {}
    for path in map(Path, get_testdata_files("*")):
        if path.is_file() and path.stat().st_size < 20_000_000 and is_dicom(path):
            found[path.name] = path.read_bytes()
    return found


def identity(file: bytes) -> tuple[str, str, str] | None:
    """The UIDs of a file, by pydicom; None where it cannot read them."""
    with contextlib.suppress(Exception):
        dataset = dcmread(BytesIO(file), stop_before_pixels=True)
        found = dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID
        return found if all(found) else None
    return None


class Outcome:
    """What one request with all the files came to."""

    def __init__(self, caller: PartitionClient) -> None:
        self.files = bundled()
        response = caller.store(*self.files.values())
        assert response.status_code == 202, response.text
        answer = response.get_json(force=True)
        self.stored = {value(item, "00081155") for item in items(answer, "00081199")}
        self.failed = items(answer, "00081198")


@pytest.fixture
def outcome(clinic: PartitionClient) -> Outcome:
    return Outcome(clinic)


def without_preamble(file: bytes) -> bytes:
    return file[128:]


def test_every_bundled_file_is_stored_or_refused_with_a_reason_that_is_right(
    clinic: PartitionClient, outcome: Outcome
) -> None:
    known = {name: identity(file) for name, file in outcome.files.items()}
    assert len(outcome.files) > 50
    assert len(outcome.stored) + len(outcome.failed) == len(outcome.files)
    assert len(outcome.stored) > 25
    names = {uids: name for name, uids in known.items() if uids}
    for item in outcome.failed:
        reason, instance = value(item, "00081197"), item.get("00081155", {}).get("Value", [None])[0]
        if reason == EXISTS:
            assert sum(uids is not None and uids[2] == instance for uids in known.values()) > 1
            continue
        assert reason == INVALID
        like = [name for uids, name in names.items() if uids[2] == instance]
        for said in comments(item):
            assert said.startswith(("DICOM100: (", "The DICOM instance is invalid: ")), said
        if like and not comments(item):
            raise AssertionError(f"{like} was refused without a reason")
    complete = {uids for uids in names if uids}
    for uids in complete:
        name = names[uids]
        patient = _patient(outcome.files[name])
        if uids[2] not in outcome.stored:
            assert not patient or not all(map(_valid, uids)), f"{name} has all that it needs"


def _patient(file: bytes) -> str | None:
    found: str | None = dcmread(BytesIO(file), stop_before_pixels=True).get("PatientID")
    return found


def _valid(uid: str) -> bool:
    return len(uid) <= 64 and all(c in "0123456789." for c in uid) and not uid.endswith(".")


def test_each_stored_file_comes_back_byte_for_byte(clinic: PartitionClient, outcome: Outcome) -> None:
    originals: dict[tuple[str, str, str], set[bytes]] = {}
    for file in outcome.files.values():
        if (uids := identity(file)) and uids[2] in outcome.stored:
            originals.setdefault(uids, set()).add(without_preamble(file))
    assert {uids[2] for uids in originals} == outcome.stored
    for (study, series, instance), files in originals.items():
        path = f"/studies/{study}/series/{series}/instances/{instance}"
        single = clinic.get(path, "application/dicom; transfer-syntax=*")
        assert single.status_code == 200
        assert without_preamble(single.data) in files
        assert single.data[:128] == bytes(128)
        (part,) = parts(clinic.get(path, AS_STORED))
        assert part.body == single.data
    for study in {uids[0] for uids in originals}:
        found = [without_preamble(part.body) for part in parts(clinic.get(f"/studies/{study}", AS_STORED))]
        assert len(found) == sum(uids[0] == study for uids in originals)
        assert set(found) <= set.union(*originals.values())


BULK = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}


def test_the_metadata_of_each_is_what_pydicom_reads(clinic: PartitionClient, outcome: Outcome) -> None:
    compared = 0
    for uids in {identity(file) for file in outcome.files.values()}:
        if uids is None or uids[2] not in outcome.stored:
            continue
        path = "/studies/{}/series/{}/instances/{}".format(*uids)
        file = clinic.get(path, "application/dicom; transfer-syntax=*").data  # several files have the same UIDs
        (ours,) = orjson.loads(clinic.get(f"{path}/metadata").data)
        theirs: dict[str, Any] = {}
        with contextlib.suppress(Exception):  # some hold values that pydicom cannot write as JSON
            theirs = orjson.loads(dcmread(BytesIO(file)).to_json(suppress_invalid_tags=True))
        for tag, element in theirs.items():
            if tag in ours and _comparable(element) and _comparable(ours[tag]):
                assert _plain(ours[tag]) == _plain(element), (uids, tag)
                compared += 1
    assert compared > 800


def _comparable(element: dict[str, Any]) -> bool:
    return element["vr"] not in BULK | {"SQ"} and "Value" in element


def _plain(element: dict[str, Any]) -> list[Any]:
    """Values as they mean: numbers as numbers, text without its padding, an empty one as none."""
    return [_meant(each) for each in element["Value"]]


def _meant(value: Any) -> Any:
    if isinstance(value, dict):
        return {group: name.rstrip() for group, name in value.items() if name} or None
    if isinstance(value, str):
        return value.strip(" \0") or None
    return None if value is None else pytest.approx(float(value))
