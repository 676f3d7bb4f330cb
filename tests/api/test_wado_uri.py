"""WADO-URI: one instance by the UIDs in the query (conformance §4.15, PS3.18 §9)."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient
from tests.support.documents import document, report
from tests.support.instances import EXPLICIT_BIG, RLE, encapsulated, make_instance, read
from tests.support.pictures import gradient, gray_image, picture, pixels_of

STUDY, SERIES, INSTANCE = "2.25.71", "2.25.72", "2.25.73"
UIDS: dict[str, Any] = {"study": STUDY, "series": SERIES, "instance": INSTANCE}
QUERY = {"requestType": "WADO", "studyUID": STUDY, "seriesUID": SERIES, "objectUID": INSTANCE}
FRAME = gradient(40, 60)
DICOM, JPEG, PNG, GIF = "application/dicom", "image/jpeg", "image/png", "image/gif"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"

on_one_engine = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
"""For what does not depend on the engine."""


def get(clinic: PartitionClient, path: str = "", accept: str | None = None, **changes: str | None) -> TestResponse:
    """Ask for the instance. A parameter of the value None is left out."""
    query = {name: text for name, text in (QUERY | changes).items() if text is not None}
    return clinic.get(f"{path}?{urlencode(query)}", accept)


def text_of_400(response: TestResponse) -> str:
    assert response.status_code == 400
    return response.text


# --- where it is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/", "/wado", "/WADO"])
def test_the_root_of_the_partition_and_wado_serve_the_file(clinic: PartitionClient, path: str) -> None:
    stored = gray_image(FRAME, **UIDS)
    clinic.stored(stored)
    response = get(clinic, path, contentType=DICOM, transferSyntax="*")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == f"{DICOM}; transfer-syntax={EXPLICIT_LITTLE}"
    assert response.data == stored


@on_one_engine
@pytest.mark.parametrize("version", ["", "/v1", "/v2", "/V2.0", "/v1.0-prerelease"])
def test_every_version_serves_it_without_partitions(serve: Serve, version: str) -> None:
    client = serve(enable_data_partitions=False)
    stored = gray_image(FRAME, **UIDS)
    PartitionClient(client, "/v2").stored(stored)
    for path in ("", "/", "/wado"):
        assert get(PartitionClient(client, version), path or "/", contentType=DICOM).data == stored


@on_one_engine
@pytest.mark.parametrize("path", ["/v2/partitions/clinic-a", "/v2/partitions/nobody", "/v2", "/v2/", "/v1"])
def test_the_root_without_a_request_type_has_no_resource(client: FlaskClient, path: str) -> None:
    response, unknown = client.get(path + "?limit=1"), client.get("/v2/nothing")
    assert (response.status_code, response.data) == (404, unknown.data)


@on_one_engine
def test_the_base_form_needs_a_partition_while_partitions_are_on(client: FlaskClient) -> None:
    for path in ("/", "/v2", "/wado"):
        assert text_of_400(get(PartitionClient(client, path))).startswith("PartitionName value is missing")


def test_another_partition_does_not_have_it(clinic: PartitionClient, client: FlaskClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    elsewhere = PartitionClient(client, "/v2/partitions/clinic-b")
    elsewhere.stored(gray_image(FRAME, study="2.25.9"))
    assert get(elsewhere).status_code == 404
    assert get(PartitionClient(client, "/v2/partitions/nobody")).status_code == 400


@on_one_engine
@pytest.mark.parametrize("name", ["studyUID", "seriesUID", "objectUID"])
def test_an_unknown_instance_is_404(clinic: PartitionClient, name: str) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    assert get(clinic, **{name: "2.25.404"}).status_code == 404


# --- media types --------------------------------------------------------------------------------------------------


@on_one_engine
@pytest.mark.parametrize(
    ("content_type", "accept", "answer"),
    [
        (None, None, JPEG),
        (None, "*/*", JPEG),
        (None, CHROME, JPEG),
        (None, DICOM, f"{DICOM}; transfer-syntax={EXPLICIT_LITTLE}"),
        (PNG, DICOM, PNG),
        ("image/png,image/jpeg", "text/html", PNG),
        ("image/png;q=0.5, image/gif", None, GIF),
        ("IMAGE/JP2", None, "image/jp2"),
        (DICOM, "image/*", f"{DICOM}; transfer-syntax={EXPLICIT_LITTLE}"),
        ("", None, JPEG),
    ],
)
def test_the_media_type_of_one_frame(
    clinic: PartitionClient, content_type: str | None, accept: str | None, answer: str
) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    response = get(clinic, accept=accept, contentType=content_type)
    assert (response.status_code, response.headers["Content-Type"]) == (200, answer)


@on_one_engine
def test_several_frames_are_a_file_unless_a_frame_or_a_picture_is_wanted(clinic: PartitionClient) -> None:
    frames = [gradient(5, 7, start) for start in range(3)]
    clinic.stored(gray_image(*frames, **UIDS))
    assert get(clinic).mimetype == DICOM
    assert get(clinic, accept="image/*").mimetype == JPEG
    assert get(clinic, frameNumber="2").mimetype == JPEG
    assert np.array_equal(picture(get(clinic, frameNumber="3", contentType=PNG)), frames[2])
    animation: Any = Image.open(io.BytesIO(get(clinic, contentType=GIF).data))
    assert animation.n_frames == 3


@on_one_engine
def test_an_instance_without_an_image_is_a_file(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS, pixel=False))
    assert get(clinic).mimetype == DICOM
    assert get(clinic, contentType=JPEG).status_code == 406


@on_one_engine
def test_reports_are_pages_and_documents_are_themselves(clinic: PartitionClient) -> None:
    uids: dict[str, Any] = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES}
    clinic.stored(report(**uids, SOPInstanceUID="2.25.1"), document(b"%PDF-1.4", **uids, SOPInstanceUID="2.25.2"))
    page = get(clinic, objectUID="2.25.1")
    assert page.mimetype == "text/html"
    assert "<html" in page.text
    assert "sandbox" in ",".join(page.headers.getlist("Content-Security-Policy"))
    assert get(clinic, objectUID="2.25.1", charset="iso-8859-1, UTF-8;q=0.5").status_code == 200
    refused = get(clinic, objectUID="2.25.1", charset="iso-8859-1")
    assert (refused.status_code, "iso-8859-1" in refused.text) == (406, True)
    pdf = get(clinic, objectUID="2.25.2", contentType="application/pdf")
    assert (pdf.mimetype, pdf.data) == ("application/pdf", b"%PDF-1.4")
    assert get(clinic, objectUID="2.25.2").mimetype == "application/pdf"
    assert get(clinic, objectUID="2.25.2", contentType=DICOM).mimetype == DICOM


@on_one_engine
def test_a_media_type_that_the_instance_does_not_have_is_406(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    response = get(clinic, contentType="text/html")
    assert response.status_code == 406
    assert response.text.startswith("The request headers are not acceptable: The instance is an image. It is served as")


# --- transfer syntaxes --------------------------------------------------------------------------------------------


def test_the_file_is_explicit_little_endian_unless_another_syntax_is_named(clinic: PartitionClient) -> None:
    stored = make_instance(**UIDS, transfer_syntax=EXPLICIT_BIG)
    clinic.stored(stored)
    default = get(clinic, contentType=DICOM)
    assert default.headers["Content-Type"] == f"{DICOM}; transfer-syntax={EXPLICIT_LITTLE}"
    assert str(read(default.data).file_meta.TransferSyntaxUID) == EXPLICIT_LITTLE
    assert get(clinic, contentType=DICOM, transferSyntax="*").data == stored
    assert get(clinic, contentType=f"{DICOM};transfer-syntax=*").data == stored
    assert get(clinic, contentType=DICOM, transferSyntax=EXPLICIT_BIG).data == stored
    rle = get(clinic, contentType=DICOM, transferSyntax=RLE)
    assert str(read(rle.data).file_meta.TransferSyntaxUID) == RLE
    assert get(clinic, contentType=f"{DICOM};transfer-syntax=*", transferSyntax=RLE).data == rle.data
    assert get(clinic, contentType=DICOM, transferSyntax="1.2.3").status_code == 406


@on_one_engine
def test_an_unreadable_compressed_file_is_returned_as_stored(clinic: PartitionClient) -> None:
    stored = encapsulated([[b"no codestream"]], **UIDS)
    clinic.stored(stored)
    assert get(clinic, contentType=DICOM).data == stored


@on_one_engine
def test_byte_ranges_of_the_file(clinic: PartitionClient) -> None:
    stored = gray_image(FRAME, **UIDS)
    clinic.stored(stored)
    response = clinic.get(f"?{urlencode(QUERY | {'contentType': DICOM})}", Range="bytes=128-131")
    assert (response.status_code, response.data) == (206, b"DICM")


# --- parameters of pictures ---------------------------------------------------------------------------------------


@on_one_engine
@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({"rows": "20"}, (20, 30)),
        ({"columns": "120"}, (80, 120)),
        ({"rows": "20", "columns": "20"}, (13, 20)),
        ({"region": "0,0,1,1"}, (40, 60)),
        ({"region": "0.5,0.25,1,0.75"}, (20, 30)),
        ({"region": "0.5,0.25,1,0.75", "rows": "40"}, (40, 60)),
    ],
)
def test_the_size_of_the_picture(clinic: PartitionClient, parameters: dict[str, str], size: tuple[int, int]) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    assert picture(get(clinic, contentType=PNG, **parameters)).shape[:2] == size


@on_one_engine
def test_the_region_is_in_fractions_of_the_image(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    found = picture(get(clinic, contentType=PNG, region="0.5,0.25,1,0.75"))
    assert np.array_equal(found, FRAME[10:30, 30:60])


@on_one_engine
def test_window_quality_and_annotation(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    plain = picture(get(clinic, contentType=PNG))
    window = picture(get(clinic, contentType=PNG, windowCenter="50", windowWidth="1"))
    assert set(np.unique(window)) <= {0, 255}
    assert not np.array_equal(plain, picture(get(clinic, contentType=PNG, annotation="patient", rows="200")))
    assert len(get(clinic, imageQuality="1").data) < len(get(clinic, imageQuality="100").data)
    assert pixels_of(get(clinic, imageQuality="100").data).shape == FRAME.shape
    odd = get(clinic, annotation="patient,colour")
    assert "colour" in odd.headers["Warning"]


@on_one_engine
def test_parameters_of_pictures_do_not_matter_for_the_file(clinic: PartitionClient) -> None:
    stored = gray_image(FRAME, **UIDS)
    clinic.stored(stored)
    assert get(clinic, contentType=DICOM, rows="10", frameNumber="1", imageQuality="5", anonymize="no").data == stored


@on_one_engine
def test_a_picture_has_an_entity_tag(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    first = get(clinic)
    again = clinic.get(f"?{urlencode(QUERY)}", If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.data) == (304, b"")
    assert first.headers["Cache-Control"] == "private, no-cache"


# --- faults -------------------------------------------------------------------------------------------------------


@on_one_engine
@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"studyUID": None}, "studyUID"),
        ({"seriesUID": None}, "seriesUID"),
        ({"objectUID": None}, "objectUID"),
        ({"objectUID": ""}, "objectUID"),
        ({"studyUID": "1.2.x"}, "studyUID"),
        ({"requestType": "WADOX"}, "requestType"),
        ({"requestType": ""}, "requestType"),
        ({"transferSyntax": "explicit"}, "transferSyntax"),
        ({"frameNumber": "0"}, "frameNumber"),
        ({"frameNumber": "1,2"}, "frameNumber"),
        ({"frameNumber": "2"}, "frameNumber"),
        ({"rows": "0"}, "rows"),
        ({"columns": "8193"}, "columns"),
        ({"columns": "x"}, "columns"),
        ({"region": "0,0,1"}, "region"),
        ({"region": "0,0,1,2"}, "region"),
        ({"region": "0.5,0,0.5,1"}, "region"),
        ({"region": "0,0,,1"}, "region"),
        ({"windowCenter": "1"}, "windowWidth"),
        ({"windowWidth": "1"}, "windowCenter"),
        ({"windowCenter": "1", "windowWidth": "0"}, "windowWidth"),
        ({"anonymize": "yes"}, "anonymize"),
        ({"presentationUID": "1.2.3"}, "presentationUID"),
        ({"presentationSeriesUID": "1.2.3"}, "presentationSeriesUID"),
        ({"iccprofile": "cmyk"}, "iccprofile"),
    ],
)
def test_a_wrong_parameter_is_named(clinic: PartitionClient, changes: dict[str, Any], name: str) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    assert text_of_400(get(clinic, **changes)).startswith(f"The query parameter '{name}' is invalid. ")


@on_one_engine
def test_wado_without_a_request_type_names_it(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    assert "'requestType'" in text_of_400(get(clinic, "/wado", requestType=None))


@on_one_engine
def test_the_quality_has_its_own_text(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    assert text_of_400(get(clinic, imageQuality="101")) == "Image quality must be between 1 and 100 inclusive"


@on_one_engine
def test_names_and_the_request_type_match_in_any_letter_case(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    query = urlencode({name.lower(): text for name, text in QUERY.items()}).replace("WADO", "wado")
    assert clinic.get(f"?{query}").mimetype == JPEG


@on_one_engine
def test_other_methods_at_the_root_are_405(client: FlaskClient) -> None:
    response = client.post("/v2/partitions/clinic-a?requestType=WADO")
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
