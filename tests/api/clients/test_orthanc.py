"""Orthanc 1.10 to 1.12 as a client: its plugin sends, searches, retrieves and deletes."""

from __future__ import annotations

import pytest

from tests.api.clients.conftest import CT, STUDY
from tests.support.dicomweb import PartitionClient, items, parts, value
from tests.support.instances import make_instance
from tests.support.sent_messages import orthanc_multipart, send_chunked

UIDS = {"study": "2.25.30", "series": "2.25.31", "instance": "2.25.32"}


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_stow(clinic: PartitionClient, chunked: bool) -> None:
    files = make_instance(**UIDS), make_instance(study="2.25.30", series="2.25.31")
    body, content_type = orthanc_multipart(*files)
    headers = {"Accept": "application/dicom+json", "Expect": ""}
    if chunked:
        answer = send_chunked(clinic, "/studies", body, content_type, **headers)
    else:
        answer = clinic.post(body, content_type, **headers)
    assert answer.status_code == 200
    report = answer.get_json(force=True)
    stored = items(report, "00081199")
    assert value(stored[0], "00081155") == "2.25.32"
    path = value(stored[0], "00081190").partition("/partitions/clinic-a")[2]
    assert path == "/studies/2.25.30/series/2.25.31/instances/2.25.32"
    (part,) = parts(clinic.get(path, 'multipart/related; type="application/dicom"; transfer-syntax=*'))
    assert part.body == files[0]
    again = clinic.post(body, content_type, **headers)
    assert again.status_code == 409
    assert {value(each, "00081197") for each in items(again.get_json(force=True), "00081198")} == {45070}


def test_search_and_retrieve(clinic: PartitionClient, archive: list[bytes]) -> None:
    for path in (
        "/studies?PatientID=P1",
        f"/studies/{STUDY}/series?00080060=CT",
        f"/studies/{STUDY}/series/{CT}/instances?limit=10&offset=0",
        f"/studies?0020000D={STUDY}&includefield=00081030",
    ):
        assert clinic.get(path, "application/dicom+json").status_code == 200, path
    for accept in (
        "multipart/related; type=application/dicom; transfer-syntax=*",
        'multipart/related; type="application/dicom"; transfer-syntax=*',
        "multipart/related; type=application/dicom",
        "*/*",
    ):
        for path, count in ((f"/studies/{STUDY}", 4), (f"/studies/{STUDY}/series/{CT}", 2)):
            assert len(parts(clinic.get(path, accept))) == count, (accept, path)


def test_delete(clinic: PartitionClient, archive: list[bytes]) -> None:
    assert clinic.delete(f"/studies/{STUDY}/series/{CT}").status_code == 204
    assert clinic.get(f"/studies/{STUDY}/series/{CT}", "*/*").status_code == 404
    assert clinic.delete(f"/studies/{STUDY}").status_code == 204
    assert clinic.delete(f"/studies/{STUDY}").status_code == 404
