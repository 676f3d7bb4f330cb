"""OHIF 3.13.2 with the data source `dicomweb`."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from tests.api.clients.conftest import CT, JPEG, MOVIE, PICTURES, STUDY
from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient, parts, value
from tests.support.instances import frame, make_instance

VIEWER = "https://viewer.example"
DICOM_JSON = "application/dicom+json"
LIST = "/studies?limit=101&offset=0&fuzzymatching=true&includefield=00081030%2C00080060%2C00080090%2C00100030"
MICROSCOPY = ", ".join(
    f'multipart/related; type="{media_type}"; transfer-syntax={syntax}'
    for media_type, syntax in [
        ("image/jls", "1.2.840.10008.1.2.4.80"),
        ("image/jls", "1.2.840.10008.1.2.4.81"),
        ("image/jp2", "1.2.840.10008.1.2.4.90"),
        ("image/jp2", "1.2.840.10008.1.2.4.91"),
        ("image/jpx", "1.2.840.10008.1.2.4.92"),
        ("image/jpx", "1.2.840.10008.1.2.4.93"),
        ("application/octet-stream", "*"),
        ("image/jpeg", "1.2.840.10008.1.2.4.50"),
    ]
)


FILTERS = [
    ("", 1),
    ("&PatientName=*doe*", 1),
    ("&PatientName=*jan*", 1),
    ("&PatientName=*smith*", 0),
    ("&00100020=P1", 1),
    ("&00100020=*P1*", 1),
    ("&AccessionNumber=*A*", 0),
    ("&StudyDescription=*Che*", 1),
    ("&ModalitiesInStudy=CT%2CMR", 1),
    ("&ModalitiesInStudy=CT,MR", 1),
    ("&ModalitiesInStudy=US", 0),
    ("&StudyDate=20240101-20241231", 1),
    ("&StudyDate=20250101-20251231", 0),
    (f"&StudyInstanceUID={STUDY}%5C2.25.99", 1),
    (f"&StudyInstanceUID={STUDY}%2C2.25.99", 1),
]


def test_the_study_list(clinic: PartitionClient, archive: list[bytes]) -> None:
    for filters, found in FILTERS:
        answer = clinic.get(LIST + filters, DICOM_JSON)
        assert answer.status_code == (200 if found else 204), (filters, answer.text)
        assert "Warning" not in answer.headers
        if not found:
            continue
        (row,) = answer.get_json(force=True)
        assert value(row, "0020000D") == STUDY
        assert row["00080061"]["Value"] == ["CT", "XA"]
        assert (value(row, "00201206"), value(row, "00201208")) == (3, 4)
        assert (value(row, "00081030"), value(row, "00080020")) == ("Chest", "20240115")
        assert value(row, "00100010") == {"Alphabetic": "Doe^Jane"}


def test_a_list_that_goes_on_has_a_warning(clinic: PartitionClient, archive: list[bytes]) -> None:
    clinic.stored(make_instance())
    answer = clinic.get(LIST.replace("limit=101", "limit=1"), DICOM_JSON)
    assert len(answer.get_json(force=True)) == 1
    assert answer.headers["Warning"] == '299 localhost: "There are additional results that can be requested."'


def test_a_study_is_opened(clinic: PartitionClient, archive: list[bytes]) -> None:
    fields = "includefield=00080021%2C00080031%2C0008103E%2C00200011"
    rows = clinic.get(f"/studies/{STUDY}/series?{fields}", DICOM_JSON).get_json(force=True)
    assert {value(row, "0020000E"): value(row, "00080060") for row in rows} == {CT: "CT", MOVIE: "XA", JPEG: "CT"}
    for row in rows:
        series = value(row, "0020000E")
        datasets = clinic.get(f"/studies/{STUDY}/series/{series}/metadata", DICOM_JSON).get_json(force=True)
        assert {value(each, "0020000E") for each in datasets} == {series}
        assert all({"00280010", "00280011", "00280100", "00080018"} <= each.keys() for each in datasets)


FRAMES = (
    'multipart/related; type="application/octet-stream"; transfer-syntax="*"',
    "multipart/related; type=application/octet-stream; transfer-syntax=*",  # omitQuotationForMultipartRequest
    'multipart/related; type="application/octet-stream"; transfer-syntax=*',
    MICROSCOPY,
)


def test_frames(clinic: PartitionClient, jpeg: str, movie: str) -> None:
    for accept in FRAMES:
        for number in (1, 2, 3):
            (part,) = parts(clinic.get(f"{jpeg}/frames/{number}", accept))
            assert part.body == PICTURES[number - 1]
            assert part.content_type.endswith("transfer-syntax=1.2.840.10008.1.2.4.50")
            (part,) = parts(clinic.get(f"{movie}/frames/{number}", accept))
            assert part.body == frame(number - 1, 8, 8)
            assert part.content_type == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"


def test_a_compressed_segmentation_is_read_as_a_file(clinic: PartitionClient, archive: list[bytes], jpeg: str) -> None:
    (part,) = parts(clinic.get(jpeg, 'multipart/related; type="application/dicom"'))
    assert part.body == archive[3]


def test_an_upload_and_a_second_one(clinic: PartitionClient) -> None:
    file = make_instance()
    assert clinic.store(file, Accept=DICOM_JSON).status_code == 200
    assert clinic.store(file, Accept=DICOM_JSON).status_code == 409


# --- from a page of another origin ---


@pytest.fixture
def shown(serve: Serve) -> FlaskClient:
    """The service that the origin of the viewer may call."""
    return serve(cors_origins=(VIEWER,))


CALLS = [
    ("GET", LIST, "accept,authorization"),
    ("GET", f"/studies/{STUDY}/series/{CT}/metadata", "accept,if-none-match"),
    ("GET", f"/studies/{STUDY}/series/{JPEG}/instances/2.25.130/frames/1", "accept,range"),
    ("GET", f"/studies/{STUDY}/series/{JPEG}/instances/2.25.130/thumbnail?accept=image%2Fjpeg", "accept"),
    ("GET", f"/studies/{STUDY}/series/{JPEG}/instances/2.25.130/rendered?accept=image%2Fjpeg", "accept"),
    ("GET", "/studies/2.25.1/nothing", "accept"),
    ("POST", "/studies", "accept,content-type"),
    ("DELETE", f"/studies/{STUDY}", "authorization"),
]


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
@pytest.mark.parametrize("method, path, headers", CALLS)
def test_each_preflight_and_its_call_are_readable(shown: FlaskClient, method: str, path: str, headers: str) -> None:
    url = f"/v2/partitions/clinic-a{path}"
    asked = {
        "Origin": VIEWER,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
    preflight = shown.options(url, headers=asked)
    assert preflight.status_code in (200, 204)
    assert preflight.headers["Access-Control-Allow-Origin"] == VIEWER
    assert method in re.split(r",\s*", preflight.headers["Access-Control-Allow-Methods"])
    permitted = preflight.headers["Access-Control-Allow-Headers"].lower().replace(" ", "").split(",")
    assert set(headers.split(",")) <= set(permitted)
    answer = shown.open(url, method=method, headers={"Origin": VIEWER, "Accept": "*/*"})
    assert answer.status_code < 500
    assert answer.headers["Access-Control-Allow-Origin"] == VIEWER
    assert "etag" in answer.headers["Access-Control-Expose-Headers"].lower()
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert f"frame-ancestors 'self' {VIEWER}" in answer.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in answer.headers
