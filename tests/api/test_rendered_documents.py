"""Rendered objects that are no images: documents, videos, reports, waveforms, and objects without a picture."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient
from tests.support.documents import (
    CDA,
    CDA_STORAGE,
    HEVC,
    KEY_OBJECTS,
    MPEG_2,
    PDF,
    PRESENTATION_STATE,
    RTSTRUCT,
    STL_STORAGE,
    channel,
    content_item,
    document,
    evidence,
    multiplex_group,
    reference,
    report,
    video,
    waveform,
)
from tests.support.h264 import grey_stream
from tests.support.instances import make_instance

STUDY, SERIES, INSTANCE = "2.25.81", "2.25.82", "2.25.83"
UIDS: dict[str, Any] = {"study": STUDY, "series": SERIES, "instance": INSTANCE}
PATH = f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
RENDERED = f"{PATH}/rendered"
FAILURE = "An error was encountered when attempting to convert the dicom file into an image"
OF_A_BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
MP4 = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 9000
POLICY = "Content-Security-Policy"

on_one_engine = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
"""For what does not depend on the engine."""


def policies(response: TestResponse) -> str:
    return " | ".join(response.headers.getlist(POLICY))


def ecg(**attributes: Any) -> bytes:
    return waveform(multiplex_group([[1, 2, 3] * 100], [channel("A")]), **(UIDS | attributes))


# --- bytes of the file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instance", "content", "media_type"),
    [
        (document(PDF * 20_001, **UIDS), PDF * 20_001, "application/pdf"),
        (video(MP4[:1000], MP4[1000:], **UIDS), MP4, "video/mp4"),
    ],
    ids=["pdf", "video"],
)
def test_a_document_or_a_video_is_read_by_ranges(
    clinic: PartitionClient, instance: bytes, content: bytes, media_type: str
) -> None:
    clinic.stored(instance)
    whole = clinic.get(RENDERED)
    assert (whole.status_code, whole.content_type, whole.data) == (200, media_type, content)
    assert whole.headers["Content-Length"] == str(len(content))
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    for asked, first, last in (("0-", 0, len(content) - 1), ("990-1009", 990, 1009), ("-7", len(content) - 7, None)):
        part = clinic.get(RENDERED, "*/*", Range=f"bytes={asked}")
        last = len(content) - 1 if last is None else last
        assert (part.status_code, part.content_type) == (206, media_type)
        assert part.headers["Content-Range"] == f"bytes {first}-{last}/{len(content)}"
        assert part.data == content[first : last + 1]
    head = clinic.client.head(clinic.prefix + RENDERED)
    assert (head.headers["Content-Length"], head.data) == (str(len(content)), b"")
    assert clinic.get(RENDERED, Range=f"bytes={len(content)}-").status_code == 416


@on_one_engine
@pytest.mark.parametrize("instance", [document(PDF, **UIDS), video(MP4, **UIDS)], ids=["pdf", "video"])
def test_a_range_goes_on_if_the_entity_tag_is_the_same(clinic: PartitionClient, instance: bytes) -> None:
    clinic.stored(instance)
    etag = clinic.get(RENDERED).headers["ETag"]
    assert clinic.get(RENDERED, Range="bytes=1-2", If_Range=etag).status_code == 206
    assert clinic.get(RENDERED, Range="bytes=1-2", If_Range='"other"').status_code == 200
    assert clinic.get(RENDERED, If_None_Match=etag).status_code == 304


@on_one_engine
@pytest.mark.parametrize(
    ("instance", "media_type"),
    [
        (document(PDF, **UIDS), "application/pdf"),
        (document(CDA, CDA_STORAGE, **UIDS), "text/xml"),
        (document(b"solid", STL_STORAGE, **UIDS), "model/stl"),
        (video(MP4, transfer_syntax=HEVC, **UIDS), "video/mp4"),
        (video(b"\0\0\1\xb3" + bytes(500), transfer_syntax=MPEG_2, **UIDS), "video/mpeg"),
        (video(b"\0\0\1\x40\1" + bytes(range(1, 255)), transfer_syntax=HEVC, **UIDS), "video/H265"),
        (video((b"\x47" + bytes(187)) * 4, **UIDS), "video/mp2t"),
        (report(**UIDS), "text/html"),
        (make_instance(SOPClassUID=PRESENTATION_STATE, pixel=False, **UIDS), "text/html"),
        (ecg(), "image/svg+xml"),
    ],
    ids=["pdf", "cda", "stl", "mp4", "mpeg-2", "h265", "transport", "sr", "pr", "ecg"],
)
def test_any_accept_header_that_admits_the_object_gives_it(
    clinic: PartitionClient, instance: bytes, media_type: str
) -> None:
    clinic.stored(instance)
    for accept in (None, "*/*", media_type, f"{media_type}, image/jpeg", f"{media_type.partition('/')[0]}/*"):
        response = clinic.get(RENDERED, accept)
        assert (response.status_code, response.mimetype) == (200, media_type), accept
    by_parameter = clinic.get(f"{RENDERED}?accept={media_type.replace('/', '%2F').replace('+', '%2B')}", "*/*")
    assert by_parameter.status_code == 200
    other = clinic.get(RENDERED, "image/gif")
    assert other.status_code == 406
    assert re.search(r"The instance is an? .+\. It can be rendered as ", other.text)


@on_one_engine
@pytest.mark.parametrize(
    ("instance", "media_type"),
    [
        (document(CDA, CDA_STORAGE, **UIDS), "application/xml"),
        (document(b"solid", STL_STORAGE, **UIDS), "application/sla"),
        (ecg(), "image/png"),
    ],
    ids=["cda", "stl", "ecg"],
)
def test_another_media_type_of_an_object_is_answered_under_that_name(
    clinic: PartitionClient, instance: bytes, media_type: str
) -> None:
    clinic.stored(instance)
    assert clinic.get(RENDERED, media_type).content_type == media_type


@on_one_engine
def test_a_browser_that_opens_an_object_gets_it(clinic: PartitionClient) -> None:
    for instance, media_type in ((document(PDF, **UIDS), "application/pdf"), (video(MP4, study="2.25.1"), "video/mp4")):
        (stored,) = clinic.stored(instance)["00081199"]["Value"]
        url = stored["00081190"]["Value"][0].partition(clinic.prefix)[2]
        assert clinic.get(f"{url}/rendered", OF_A_BROWSER).content_type == media_type


# --- harmless -----------------------------------------------------------------------------------------------------


@on_one_engine
def test_a_media_type_in_the_file_is_not_obeyed(clinic: PartitionClient) -> None:
    page = b"<html><script>alert(1)</script></html>"
    clinic.stored(document(page, MIMETypeOfEncapsulatedDocument="text/html\r\nX-Injected: 1", **UIDS))
    response = clinic.get(RENDERED)
    assert (response.content_type, response.data) == ("application/pdf", page)
    assert "X-Injected" not in response.headers
    assert clinic.get(RENDERED, "text/html").status_code == 406


@on_one_engine
@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        (document(PDF, **UIDS), "default-src 'none'; object-src 'self'"),
        (document(CDA, CDA_STORAGE, **UIDS), "default-src 'none'; sandbox"),
        (ecg(), "default-src 'none'; sandbox"),
        (report(**UIDS), "sandbox"),
    ],
    ids=["pdf", "cda", "ecg", "sr"],
)
def test_content_of_a_file_runs_no_script(clinic: PartitionClient, instance: bytes, expected: str) -> None:
    clinic.stored(instance)
    response = clinic.get(RENDERED)
    assert expected in policies(response)
    assert "frame-src 'self';" in policies(response)
    assert "script-src" not in policies(response)
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@on_one_engine
def test_a_document_that_is_read_as_bulk_data_runs_no_script_either(clinic: PartitionClient) -> None:
    clinic.stored(document(PDF, **UIDS))
    for accept, expected in (("application/pdf", "object-src 'self'"), ("application/octet-stream", "sandbox")):
        response = clinic.get(f"{PATH}/bulkdata/00420011", accept)
        assert response.status_code == 200, response.text
        assert expected in policies(response)


@on_one_engine
def test_a_viewer_of_another_origin_may_frame_a_pdf(serve: Serve) -> None:
    clinic = PartitionClient(serve(cors_origins=("https://viewer.example",)))
    clinic.stored(document(PDF, **UIDS))
    response = clinic.get(RENDERED, Origin="https://viewer.example")
    assert "frame-ancestors 'self' https://viewer.example" in policies(response)
    assert "X-Frame-Options" not in response.headers
    assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"


# --- made by the service ------------------------------------------------------------------------------------------


def test_a_report_links_to_images_of_its_partition(clinic: PartitionClient) -> None:
    image = content_item("IMAGE", "Key", ReferencedSOPSequence=[reference("2.25.3", ReferencedFrameNumber=[2])])
    proof = [evidence("2.25.1", "2.25.2", "2.25.3")]
    clinic.stored(report(image, CurrentRequestedProcedureEvidenceSequence=proof, **UIDS))
    response = clinic.get(RENDERED)
    assert response.content_type == "text/html; charset=utf-8"
    root = "http://localhost/v2/partitions/clinic-a/studies/2.25.1/series/2.25.2/instances/2.25.3"
    links = re.findall(r'href="([^"]*)"', response.text)
    assert links == [f"{root}/rendered", f"{root}/frames/2/rendered"]


@on_one_engine
def test_a_key_object_selection_is_a_page(clinic: PartitionClient) -> None:
    clinic.stored(report(title="Of Interest", SOPClassUID=KEY_OBJECTS, Modality="KO", **UIDS))
    assert "<h1>Of Interest</h1>" in clinic.get(RENDERED, "text/html").text


@on_one_engine
def test_a_waveform_is_a_drawing_with_or_without_the_patient(clinic: PartitionClient) -> None:
    clinic.stored(ecg(patient_name="Roe^Richard"))
    drawing = clinic.get(RENDERED, "image/svg+xml")
    assert drawing.data.startswith(b"<?xml")
    assert b"Roe" not in drawing.data
    assert b"Roe, Richard" in clinic.get(f"{RENDERED}?annotation=patient", "image/svg+xml").data
    picture = clinic.get(f"{RENDERED}?viewport=300,300", "image/png")
    assert picture.data[:4] == b"\x89PNG"
    assert int.from_bytes(picture.data[16:20], "big") == 300
    assert clinic.get(RENDERED, "image/jpeg").data.startswith(b"\xff\xd8\xff")


def test_a_raw_video_stream_is_an_mp4_file(clinic: PartitionClient) -> None:
    stream = grey_stream([16, 128, 235])
    clinic.stored(video(stream[:700], stream[700:], **UIDS))
    whole = clinic.get(RENDERED)
    assert (whole.content_type, whole.data[4:8]) == ("video/mp4", b"ftyp")
    part = clinic.get(RENDERED, Range="bytes=700-899")
    assert (part.status_code, part.data) == (206, whole.data[700:900])


# --- no picture ---------------------------------------------------------------------------------------------------


@on_one_engine
@pytest.mark.parametrize(
    ("instance", "reason"),
    [
        (
            make_instance(SOPClassUID=RTSTRUCT, pixel=False, **UIDS),
            "The instance is an RT Structure Set. It has no picture.",
        ),
        (
            make_instance(SOPClassUID="1.2.3.4", pixel=False, **UIDS),
            "The instance has no frames that can be separated.",
        ),
        (make_instance(pixel=False, **UIDS), "The instance has no frames that can be separated."),
        (document(PDF, EncapsulatedDocument=None, **UIDS), "The instance has no Encapsulated Document."),
        (waveform(**UIDS), "The instance has no Waveform Sequence."),
        (video(b"unknown stream", **UIDS), "The pixel data is no video that the service knows."),
    ],
    ids=["rtstruct", "unknown", "no frames", "no document", "no waveform", "no video"],
)
def test_what_has_no_picture_says_what_it_is_and_has_an_icon(
    clinic: PartitionClient, instance: bytes, reason: str
) -> None:
    clinic.stored(instance)
    for accept in (None, "*/*"):
        response = clinic.get(RENDERED, accept)
        assert response.status_code == 406
        assert response.text.startswith(f"{FAILURE}: {reason}")
    icon = clinic.get(f"{PATH}/thumbnail", "image/png")
    assert (icon.status_code, icon.data[:4]) == (200, b"\x89PNG")


@on_one_engine
def test_the_thumbnail_of_a_document_is_an_icon_at_every_level(clinic: PartitionClient) -> None:
    clinic.stored(document(PDF, **UIDS))
    for path in (f"/studies/{STUDY}", f"/studies/{STUDY}/series/{SERIES}", PATH):
        icon = clinic.get(f"{path}/thumbnail?viewport=256%2C256&accept=image%2Fjpeg", "*/*")
        assert (icon.status_code, icon.content_type) == (200, "image/jpeg")
        assert POLICY not in icon.headers or "sandbox" not in policies(icon)


@on_one_engine
def test_a_frame_of_a_document_or_of_a_video_is_refused(clinic: PartitionClient) -> None:
    clinic.stored(document(PDF, **UIDS), video(MP4, study=STUDY, series=SERIES, instance="2.25.84"))
    assert clinic.get(f"{PATH}/frames/1/rendered").data == PDF
    assert "It has no frames." in clinic.get(f"{PATH}/frames/2/rendered").text
    of_video = clinic.get(f"/studies/{STUDY}/series/{SERIES}/instances/2.25.84/frames/1/rendered")
    assert of_video.status_code == 406
    assert "not decoded one by one" in of_video.text


@on_one_engine
def test_a_series_of_several_kinds_has_a_part_for_each(clinic: PartitionClient) -> None:
    more = {"study": STUDY, "series": SERIES}
    clinic.stored(document(PDF, **UIDS), report(**more), make_instance(SOPClassUID=RTSTRUCT, pixel=False, **more))
    response = clinic.get(f"/studies/{STUDY}/series/{SERIES}/rendered", "multipart/related")
    assert response.status_code == 200
    types = re.findall(rb"\r\nContent-Type: ([^\r]+)\r\n", response.data)
    assert set(types) >= {b"application/pdf", b"text/html; charset=utf-8"}


def test_documents_of_another_partition_do_not_exist(client: FlaskClient, clinic: PartitionClient) -> None:
    clinic.stored(document(PDF, **UIDS))
    other = PartitionClient(client, "/v2/partitions/clinic-b")
    other.stored(make_instance())
    for path in (RENDERED, f"{PATH}/thumbnail"):
        assert other.get(path).status_code == 404
