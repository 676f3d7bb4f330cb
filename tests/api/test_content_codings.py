"""Compressed answers and compressed request bodies (conformance §1.12)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import pytest
import zstandard
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import Serve
from tests.support.bulk_update import post_update, update_body
from tests.support.dicomweb import AS_STORED, DICOM_JSON, PartitionClient, related
from tests.support.instances import make_instance
from tests.support.workitems import workitem

STUDY = "2.25.1"
METADATA = f"/studies/{STUDY}/metadata"
FORM = 'multipart/related; type="application/dicom"; boundary=b1'

ENCODE: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}


def decoded(response: TestResponse) -> bytes:
    coding = response.headers.get("Content-Encoding")
    if coding == "gzip":
        return gzip.decompress(response.data)
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(response.data)
    assert coding is None
    plain: bytes = response.data
    return plain


@pytest.fixture
def study(clinic: PartitionClient) -> PartitionClient:
    """A clinic with one study, whose metadata has more than 1024 bytes."""
    clinic.stored(*(make_instance(study=STUDY, PatientComments="comment " * 100) for _ in range(3)))
    return clinic


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        ("", None),
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("x-gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate", "gzip"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=0", None),
        ("gzip;q=0, zstd;q=0", None),
        ("br", None),
        ("*", "gzip"),
        ("gzip;q=0, *", None),
        ("*;q=0", None),
        ("gzip, *;q=0", "gzip"),
        ("identity;q=0, zstd", "zstd"),
        ("identity;q=0, br", None),
        ("gzip;q=nonsense", "gzip"),
        (";;,,=", None),
    ],
)
def test_the_coding_of_an_answer(study: PartitionClient, accepted: str | None, coding: str | None) -> None:
    headers = {} if accepted is None else {"Accept_Encoding": accepted}
    answer = study.get(METADATA, **headers)
    assert (answer.status_code, answer.headers.get("Content-Encoding")) == (200, coding)
    assert json.loads(decoded(answer)) == study.get(METADATA).get_json()
    assert answer.headers["Content-Type"] == DICOM_JSON
    assert "Accept-Encoding" in answer.headers["Vary"]
    if coding:
        assert len(answer.data) < len(study.get(METADATA).data)
    if "Content-Length" in answer.headers:
        assert int(answer.headers["Content-Length"]) == len(answer.data)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_stream_is_compressed(clinic: PartitionClient, coding: str) -> None:
    text = "".join(map(str, range(20_000)))[:60_000]
    clinic.stored(*(make_instance(study=STUDY, TextValue=text) for _ in range(40)))
    plain = clinic.get(METADATA)
    assert len(plain.data) > 2 * 1024 * 1024
    assert "Content-Length" not in plain.headers
    answer = clinic.get(METADATA, Accept_Encoding=coding)
    assert "Content-Length" not in answer.headers
    assert decoded(answer) == plain.data
    assert len(answer.data) < len(plain.data) / 2


def test_a_short_answer_is_compressed_only_where_it_must_be(client: FlaskClient) -> None:
    short = client.get("/v2/partitions", headers={"Accept-Encoding": "gzip"})
    assert (short.headers.get("Content-Encoding"), short.status_code) == (None, 200)
    assert "Accept-Encoding" in short.headers["Vary"]
    must = client.get("/v2/partitions", headers={"Accept-Encoding": "gzip, identity;q=0"})
    assert json.loads(decoded(must)) == short.get_json()
    assert must.headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize("path", [f"/studies/{STUDY}", "/studies/2.25.404", "/studies/x"])
def test_files_and_errors_are_not_compressed(study: PartitionClient, path: str) -> None:
    answer = study.get(path, AS_STORED, Accept_Encoding="gzip, zstd, identity;q=0")
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_one_entity_tag_serves_for_every_coding(study: PartitionClient, coding: str) -> None:
    strong = study.get(METADATA).headers["ETag"]
    weak = study.get(METADATA, Accept_Encoding=coding).headers["ETag"]
    assert weak == f"W/{strong}"
    for tag in (strong, weak):
        unchanged = study.get(METADATA, If_None_Match=tag, Accept_Encoding=coding)
        assert (unchanged.status_code, unchanged.headers["ETag"], unchanged.data) == (304, tag, b"")
        assert "Content-Encoding" not in unchanged.headers
        assert "Accept-Encoding" in unchanged.headers["Vary"]
        assert study.get(METADATA, If_None_Match=tag).headers["ETag"] == strong


def test_an_answer_too_short_for_a_coding_has_a_strong_tag(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(study=STUDY, pixel=False))
    plain = clinic.get(METADATA)
    assert len(plain.data) < 1024
    assert clinic.get(METADATA, Accept_Encoding="gzip").headers["ETag"] == plain.headers["ETag"]


def test_head_answers_like_get(study: PartitionClient) -> None:
    head = study.client.head(study.prefix + METADATA, headers={"Accept-Encoding": "gzip"})
    get = study.get(METADATA, Accept_Encoding="gzip")
    assert (head.status_code, head.data, head.headers["Content-Encoding"]) == (200, b"", "gzip")
    assert head.headers.get("Content-Length") == get.headers.get("Content-Length")


@pytest.mark.parametrize("coding", ["gzip", "zstd", "GZIP", "x-gzip"])
@pytest.mark.parametrize("content_type", [FORM, "application/dicom"])
def test_a_compressed_store(clinic: PartitionClient, coding: str, content_type: str) -> None:
    file = make_instance(study=STUDY)
    body = file if content_type == "application/dicom" else related(file, make_instance(study=STUDY))
    encode = ENCODE["zstd" if coding == "zstd" else "gzip"]
    assert clinic.post(encode(body), content_type, Content_Encoding=coding).status_code == 200
    assert file[128:] in clinic.get(f"/studies/{STUDY}", AS_STORED).data


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_compressed_json_bodies(study: PartitionClient, coding: str) -> None:
    encode = ENCODE[coding]
    body = encode(json.dumps([workitem()]).encode())
    added = study.post(body, DICOM_JSON, "/workitems?2.25.7", Content_Encoding=coding)
    assert added.status_code == 201
    body = encode(json.dumps(update_body(STUDY)).encode())
    started = study.post(body, "application/json", "/studies/$bulkUpdate", Content_Encoding=coding)
    assert started.status_code == 202


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_several_members_are_one_body(clinic: PartitionClient, coding: str) -> None:
    file = make_instance(study=STUDY)
    body = b"".join(ENCODE[coding](file[at : at + 100]) for at in range(0, len(file), 100)) + ENCODE[coding](b"")
    assert clinic.post(body, "application/dicom", Content_Encoding=coding).status_code == 200
    assert file[128:] in clinic.get(f"/studies/{STUDY}", AS_STORED).data


@pytest.mark.parametrize("coding", ["br", "deflate", "compress", "gzip, zstd", "nonsense", "gzip;q=1"])
def test_another_coding_is_415(clinic: PartitionClient, coding: str) -> None:
    refused = clinic.post(b"x", FORM, Content_Encoding=coding)
    assert (refused.status_code, refused.text) == (415, f"The content encoding '{coding}' is not supported.")
    assert refused.headers["Accept-Encoding"] == "gzip, zstd"


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_no_coding(clinic: PartitionClient, coding: str) -> None:
    assert clinic.post(related(make_instance()), FORM, Content_Encoding=coding).status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("content_type", [FORM, "application/dicom", DICOM_JSON])
@pytest.mark.parametrize("fault", ["not encoded", "cut", "garbage after the end", "checksum"])
def test_a_body_that_is_not_of_its_coding_is_400(
    clinic: PartitionClient, coding: str, content_type: str, fault: str
) -> None:
    encoded = zstandard.ZstdCompressor(write_checksum=True).compress if coding == "zstd" else gzip.compress
    body = encoded(related(make_instance()))
    if fault == "not encoded":
        body = related(make_instance())
    elif fault == "cut":
        body = body[: len(body) // 2]
    elif fault == "garbage after the end":
        body += b"garbage"
    else:
        at = -6 if coding == "gzip" else -2  # gzip ends with a checksum and a length
        body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
    path = "/workitems?2.25.7" if content_type == DICOM_JSON else "/studies"
    answer = clinic.post(body, content_type, path, Content_Encoding=coding)
    assert (answer.status_code, answer.text) == (400, f"The request body could not be decoded as '{coding}'.")


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("content_type", [FORM, "application/dicom", "application/json"])
def test_a_bomb_is_413(serve: Serve, coding: str, content_type: str) -> None:
    clinic = PartitionClient(serve(max_request_bytes=20_000_000))
    opening = b"--b1\r\nContent-Type: application/dicom\r\n\r\n" if content_type == FORM else b""
    bomb = ENCODE[coding](opening + bytes(50_000_000))
    assert len(bomb) < 60_000
    path = "/studies/$bulkUpdate" if content_type == "application/json" else "/studies"
    clinic.stored(make_instance())
    answer = clinic.post(bomb, content_type, path, Content_Encoding=coding)
    assert answer.status_code == 413
    assert answer.text.startswith("The request exceeded the allowed limit of ")


def test_a_refused_update_is_read_from_a_compressed_body(study: PartitionClient) -> None:
    """The errors of the body are those of a body without a coding."""
    plain = post_update(study, {"studyInstanceUids": []})
    body = gzip.compress(b'{"studyInstanceUids": []}')
    packed = study.post(body, "application/json", "/studies/$bulkUpdate", Content_Encoding="gzip")
    assert (packed.status_code, packed.text) == (plain.status_code, plain.text)
