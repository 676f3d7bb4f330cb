"""A streamed answer whose data store fails in the middle: 503, or it breaks. It is never a shorter answer.

Each test lets one call to the data store fail, then the next one, until the whole answer has arrived without a failure.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from app.errors import UNAVAILABLE, StorageUnavailable
from app.settings import Settings
from app.web.response import responses
from tests.support.dicomweb import AS_STORED, DICOM_JSON, PartitionClient
from tests.support.faults import AFTER, Effect, Rule, break_off, fail, truncate
from tests.support.faulty_engine import Faults
from tests.support.instances import RLE, make_instance
from tests.support.worklist import WorklistClient

STUDY, SERIES = "2.25.1", "2.25.2"
INSTANCES = ["2.25.3", "2.25.4", "2.25.5"]
CLINIC = "/v2/partitions/clinic-a"
S = f"{CLINIC}/studies/{STUDY}"
I = f"{S}/series/{SERIES}/instances/{INSTANCES[0]}"  # noqa: E741  # the letter of conformance §1.2
OCTETS = "application/octet-stream; transfer-syntax=*"

STREAMS = {
    "files": (S, AS_STORED),
    "file": (I, "application/dicom; transfer-syntax=*"),
    "transcoded file": (I, f"application/dicom; transfer-syntax={RLE}"),
    "frames": (f"{I}/frames/1,2", 'multipart/related; type="application/octet-stream"; transfer-syntax=*'),
    "frame": (f"{I}/frames/2", OCTETS),
    "transcoded frames": (f"{I}/frames/1,2", f'multipart/related; type="image/dicom-rle"; transfer-syntax={RLE}'),
    "bulk data": (f"{S}/bulkdata", 'multipart/related; type="application/octet-stream"'),
    "pixel data": (f"{S}/pixeldata", 'multipart/related; type="application/octet-stream"'),
    "metadata": (f"{S}/metadata", DICOM_JSON),
    "metadata in XML": (f"{S}/metadata", 'multipart/related; type="application/dicom+xml"'),
    "search": (f"{CLINIC}/instances?includefield=all", DICOM_JSON),
    "worklist": (f"{CLINIC}/workitems", DICOM_JSON),
    "change feed": ("/v2/changefeed?includemetadata=true", "application/json"),
    "file by WADO-URI": (
        f"{CLINIC}/wado?requestType=WADO&studyUID={STUDY}&seriesUID={SERIES}&objectUID={INSTANCES[0]}"
        "&contentType=application/dicom",
        "*/*",
    ),
}

one_engine = pytest.mark.parametrize("settings", ["embedded"], indirect=True)

FROM_FILES = ["files", "file", "transcoded file", "frames", "frame", "transcoded frames", "bulk data", "pixel data"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings of an empty archive in which every instance is a file."""
    return replace(settings, small_file_bytes=0)


@pytest.fixture
def archive(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A study of three instances with pixel and other bulk data, and two workitems. Each piece of JSON is a chunk."""
    monkeypatch.setattr(responses, "_FIRST_JSON_CHUNK", 1)
    monkeypatch.setattr(responses, "_JSON_CHUNK", 1)
    PartitionClient(client).stored(
        *(
            make_instance(study=STUDY, series=SERIES, instance=each, frames=3, EncapsulatedDocument=bytes(2000))
            for each in INSTANCES
        )
    )
    for workitem in ("2.25.6", "2.25.7"):
        assert WorklistClient(client).add(workitem).status_code == 201
    return client


class Broken(Exception):
    """The answer ended with an error. `received` are the bytes before it."""

    def __init__(self, received: bytes) -> None:
        super().__init__()
        self.received = received


def received(client: FlaskClient, stream: str) -> bytes:
    """Return the body of an answer, without its boundary. Raises `Broken`, or `StorageUnavailable` for a 503."""
    url, accept = STREAMS[stream]
    response = client.get(url, headers={"Accept": accept})
    if response.status_code == 503:
        assert response.text == UNAVAILABLE
        assert response.headers["Retry-After"] == "5"
        raise StorageUnavailable
    assert response.status_code == 200, response.text
    body = bytearray()
    try:
        for chunk in response.response:
            assert isinstance(chunk, bytes)
            body += chunk
    except StorageUnavailable as error:
        raise Broken(bytes(body)) from error
    boundary = re.search(r"boundary=(\w+)", response.headers["Content-Type"])
    return bytes(body).replace(boundary[1].encode(), b"") if boundary else bytes(body)


def outcomes(client: FlaskClient, faults: Faults, stream: str, make_rule: Callable[[int], Rule]) -> list[str]:
    """Return how the answer ends for each call that fails, in the order of the calls: 503, broken or whole."""
    whole, found = received(client, stream), []
    for number in range(1, 100):
        rule = faults.add(make_rule(number))
        try:
            assert received(client, stream) == whole, f"another answer after the failure of call {number}"
            found.append("whole")
        except StorageUnavailable:
            found.append("503")
        except Broken as broken:
            assert not broken.received.endswith((b"]", b"--\r\n")), "it looks complete"
            found.append("broken")
        faults.clear()
        if not rule.hits:
            assert found.pop() == "whole"
            return found
    raise AssertionError("the answer makes too many calls")


def test_an_answer_whose_calls_fail_is_503_or_breaks(archive: FlaskClient, faults: Faults) -> None:
    for stream in STREAMS:
        found = outcomes(
            archive, faults, stream, lambda number: Rule(fail(), operation=("table.*", "blobs.*"), nth=number)
        )
        assert "503" in found, stream
        assert "whole" not in found, stream


@one_engine
@pytest.mark.parametrize("cut", [break_off, truncate], ids=["breaks off", "ends early"])
@pytest.mark.parametrize("after", [0, 200], ids=["at once", "later"])
def test_an_answer_whose_files_are_cut_is_503_or_breaks(
    archive: FlaskClient, faults: Faults, cut: Callable[[int], Effect], after: int
) -> None:
    for stream in FROM_FILES:
        found = outcomes(
            archive, faults, stream, lambda number: Rule(cut(after), operation="blobs.open", stage=AFTER, nth=number)
        )
        assert found, stream
        assert "whole" not in found or after > 0, stream


@one_engine
@pytest.mark.parametrize("stream", ["files", "file"])
def test_a_file_that_is_shorter_than_its_row_says_is_no_shorter_answer(
    archive: FlaskClient, settings: Settings, stream: str
) -> None:
    """The server sends local files by itself, and would not notice."""
    whole = received(archive, stream)
    (path,) = settings.data_dir.rglob(f"*{INSTANCES[0]}~*.dcm")
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises((StorageUnavailable, Broken)):
        received(archive, stream)
    url, accept = STREAMS[stream]
    part = archive.get(url, headers={"Accept": accept, "Range": "bytes=0-99"})
    assert part.status_code == 503 or part.data == whole[:100]
