"""The query parameter `accept` on every kind of resource (PS3.18 §8.3.3.1, conformance §1.7)."""

from __future__ import annotations

import pytest

from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.workitems import workitem

STUDY, SERIES, INSTANCE = "2.25.1", "2.25.2", "2.25.3"
FILE = f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
IMPOSSIBLE = "text/html"


@pytest.fixture(autouse=True)
def stored(clinic: PartitionClient) -> bytes:
    file = make_instance(study=STUDY, series=SERIES, instance=INSTANCE)
    clinic.stored(file)
    return file


@pytest.mark.parametrize(
    "path",
    ["/studies", "/series", "/instances", f"/studies/{STUDY}/series?Modality=", "/workitems", f"{FILE}/metadata"],
)
def test_a_resource_in_dicom_json_reads_the_parameter_before_the_header(clinic: PartitionClient, path: str) -> None:
    sign = "&" if "?" in path else "?"
    for accept in ("application/dicom+json", "application%2Fdicom%2Bjson", "application/json;q=0.5", "text/html,*/*"):
        assert clinic.get(f"{path}{sign}accept={accept}", IMPOSSIBLE).status_code in (200, 204), accept
    assert clinic.get(f"{path}{sign}ACCEPT=*/*&limit=1", IMPOSSIBLE).status_code in (200, 204)
    assert clinic.get(f"{path}{sign}accept={IMPOSSIBLE}", "*/*").status_code == 406
    assert clinic.get(f"{path}{sign}accept={IMPOSSIBLE}&accept=*/*").status_code in (200, 204)
    assert clinic.get(f"{path}{sign}accept=", IMPOSSIBLE).status_code == 406
    assert clinic.get(f"{path}{sign}accept=", "*/*").status_code in (200, 204)


def test_a_retrieve_reads_the_parameter(clinic: PartitionClient, stored: bytes) -> None:
    answer = clinic.get(f"{FILE}?accept=application%2Fdicom%3B%20transfer-syntax%3D*", IMPOSSIBLE)
    assert (answer.status_code, answer.data) == (200, stored)
    assert answer.headers["Content-Type"].startswith("application/dicom;")
    answer = clinic.get(f"{FILE}/frames/1?accept=application/octet-stream", IMPOSSIBLE)
    assert answer.headers["Content-Type"].startswith("application/octet-stream;")
    answer = clinic.get(f'/studies/{STUDY}?accept=multipart/related;type="application/dicom"', IMPOSSIBLE)
    assert answer.headers["Content-Type"].startswith("multipart/related;")
    assert clinic.get(f"{FILE}?accept={IMPOSSIBLE}", "*/*").status_code == 406


def test_other_methods_read_the_parameter(clinic: PartitionClient) -> None:
    file = make_instance()
    assert clinic.post(file, "application/dicom", f"/studies?accept={IMPOSSIBLE}").status_code == 406
    assert clinic.post(file, "application/dicom", "/studies?accept=application/dicom+json").status_code == 200
    assert clinic.client.head(f"{clinic.prefix}/studies?accept={IMPOSSIBLE}").status_code == 406


def test_the_first_name_of_a_workitem_request_stays_its_uid(clinic: PartitionClient) -> None:
    path = f"{clinic.prefix}/workitems?accept=application/dicom%2Bjson&2.25.7"
    assert clinic.client.post(path, json=[workitem()], content_type="application/dicom+json").status_code == 201
    assert clinic.get("/workitems/2.25.7?accept=application/dicom+json", IMPOSSIBLE).status_code == 200


def test_a_parameter_that_only_resembles_it_is_another_one(clinic: PartitionClient) -> None:
    assert clinic.get("/studies?acceptable=1").status_code == 400
    assert clinic.get("/studies?PatientID=accept").status_code == 204
