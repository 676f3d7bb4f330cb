"""dicomweb-client 0.61 in Python and 0.11 in JavaScript: their exact requests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.api.clients.conftest import CT, PICTURES, STUDY
from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient, items, parts, value
from tests.support.instances import frame, make_instance
from tests.support.sent_messages import javascript_multipart, python_multipart, send_chunked

DICOM_JSON = "application/dicom+json"
FILES = 'multipart/related; type="application/dicom"'


@pytest.mark.parametrize("multipart", [python_multipart, javascript_multipart], ids=["Python", "JavaScript"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_store(clinic: PartitionClient, multipart: Callable[..., tuple[bytes, str]], chunked: bool) -> None:
    whole = make_instance(study="2.25.1", series="2.25.2", instance="2.25.3")
    from_memory = make_instance(study="2.25.1", series="2.25.2", instance="2.25.4")[132:]  # no preamble and no DICM
    body, content_type = multipart(whole, from_memory)
    send = send_chunked if chunked else lambda caller, path, *rest, **more: caller.post(*rest, path, **more)
    answer = send(clinic, "/studies/2.25.1", body, content_type, Accept=DICOM_JSON)
    assert answer.status_code == 200, answer.text
    report = answer.get_json(force=True)
    assert [value(each, "00081155") for each in items(report, "00081199")] == ["2.25.3", "2.25.4"]
    (part,) = parts(clinic.get("/studies/2.25.1/series/2.25.2/instances/2.25.4", FILES))
    assert part.body == bytes(128) + b"DICM" + from_memory


def test_retrieve_of_studies_series_and_instances(clinic: PartitionClient, archive: list[bytes], jpeg: str) -> None:
    """No transfer syntax is named, whatever is stored."""
    for path, files in (
        (f"/studies/{STUDY}", archive),
        (f"/studies/{STUDY}/series/{CT}", archive[:2]),
        (jpeg, archive[3:]),
        (f"/studies/{STUDY}/series/{CT}/instances/2.25.110", archive[:1]),
    ):
        found = [part.body for part in parts(clinic.get(path, FILES))]
        assert sorted(found) == sorted(files), path
        assert clinic.get(path, f'{FILES}; transfer-syntax="*"').status_code == 200


def test_frames_in_python(clinic: PartitionClient, jpeg: str, movie: str) -> None:
    accepts = (
        'multipart/related; type="*/*"',
        'multipart/related; type="application/octet-stream"; transfer-syntax="*"',
    )
    for accept in accepts:
        assert [part.body for part in parts(clinic.get(f"{jpeg}/frames/1,3", accept))] == [PICTURES[0], PICTURES[2]]
        assert [part.body for part in parts(clinic.get(f"{movie}/frames/2", accept))] == [frame(1, 8, 8)]
    named = 'multipart/related; type="image/jpeg"; transfer-syntax="1.2.840.10008.1.2.4.50"'
    several = f'{named}, multipart/related; type="image/jls"; transfer-syntax="1.2.840.10008.1.2.4.80"'
    for accept in (named, several, 'multipart/related; type="image/jpeg"'):
        assert [part.body for part in parts(clinic.get(f"{jpeg}/frames/2", accept))] == PICTURES[1:2]


def test_frames_in_javascript(clinic: PartitionClient, movie: str) -> None:
    """The default has no transfer syntax."""
    accept = 'multipart/related; type="application/octet-stream"'
    assert [part.body for part in parts(clinic.get(f"{movie}/frames/1,2", accept))] == [frame(0, 8, 8), frame(1, 8, 8)]


def test_search(clinic: PartitionClient, archive: list[bytes]) -> None:
    for path, found in (
        ("/studies?limit=10&offset=0&fuzzymatching=true&includefield=StudyDescription&PatientName=doe", 1),
        ("/studies?fuzzymatching=false&PatientID=P1", 1),
        (f"/studies/{STUDY}/series?Modality=CT&includefield=SeriesDescription&includefield=BodyPartExamined", 2),
        (f"/series?StudyInstanceUID={STUDY}", 3),
        (f"/studies/{STUDY}/instances?limit=2", 2),
        (f"/studies/{STUDY}/series/{CT}/instances?includefield=all", 2),
        ("/instances?SOPInstanceUID=2.25.130", 1),
        ("/instances?offset=3", 1),
    ):
        answer = clinic.get(path, f"{DICOM_JSON}, application/json")
        assert len(answer.get_json(force=True)) == found, path
    assert clinic.get("/studies?PatientID=none", DICOM_JSON).status_code == 204


def test_links_follow_the_public_url(serve: Serve) -> None:
    """The Host header has no port, so links need the setting."""
    clinic = PartitionClient(serve(public_url="https://pacs.example:8443/dicom"))
    report = clinic.stored(make_instance(study="2.25.1", series="2.25.2", instance="2.25.3"))
    root = "https://pacs.example:8443/dicom/v2/partitions/clinic-a"
    assert value(items(report, "00081199")[0], "00081190") == f"{root}/studies/2.25.1/series/2.25.2/instances/2.25.3"
    (row,) = clinic.get("/studies", DICOM_JSON).get_json(force=True)
    assert value(row, "00081190") == f"{root}/studies/2.25.1"
