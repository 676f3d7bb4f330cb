"""Byte ranges, HEAD, and Content-Length of parts (conformance §4.4)."""

from __future__ import annotations

import io
from typing import BinaryIO

import pytest

from app import bootstrap
from app.errors import StorageUnavailable
from app.storage.table.ports import BlobStore
from tests.support.dicomweb import AS_STORED, PartitionClient
from tests.support.faulty_engine import FaultyBlobStore
from tests.support.instances import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_BASELINE,
    encapsulated,
    frame,
    make_instance,
)

STUDY, SERIES, INSTANCE = "2.25.1", "2.25.2", "2.25.3"
UIDS = {"study": STUDY, "series": SERIES, "instance": INSTANCE}
PATH = f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
DICOM = "application/dicom"
OCTETS = "application/octet-stream"
RELATED = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
FRAGMENTS = [b"\xff\xd8one ", b"part", b"\xff\xd9.."]
Reads = list[tuple[int, int | None]]


@pytest.fixture
def below(engine: bootstrap.Engine) -> BlobStore:
    """The blob store below the faulty one. The service keeps the methods of the faulty one, so a test changes these."""
    assert isinstance(engine.blobs, FaultyBlobStore)
    return engine.blobs.below


@pytest.fixture
def reads(below: BlobStore, monkeypatch: pytest.MonkeyPatch) -> Reads:
    """The (start, length) of each file that the service opens."""
    opened, found = below.open, Reads()

    def noted(key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        found.append((start, length))
        return opened(key, start, length)

    monkeypatch.setattr(below, "open", noted)
    return found


# --- byte ranges --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [4, 1024])
def test_ranges_of_a_file_are_one_ranged_read_each(clinic: PartitionClient, reads: Reads, rows: int) -> None:
    file = make_instance(**UIDS, rows=rows, columns=rows, transfer_syntax=IMPLICIT_LITTLE)
    size = len(file)
    clinic.stored(file)
    accept = f"{DICOM}; transfer-syntax=*"
    for header, start, end in [
        ("bytes=0-3", 0, 4),
        ("bytes=128-131", 128, 132),
        ("bytes=100-", 100, size),
        (f"bytes={size - 1}-{size + 7}", size - 1, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=-{size + 7}", 0, size),
    ]:
        reads.clear()
        response = clinic.get(PATH, accept, Range=header)
        assert (response.status_code, response.data) == (206, file[start:end]), header
        assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        assert int(response.headers["Content-Length"]) == end - start
        assert response.headers["Accept-Ranges"] == "bytes"
        assert response.headers["Content-Type"] == f"{DICOM}; transfer-syntax={IMPLICIT_LITTLE}"
        assert response.headers["Cache-Control"] == "private, no-store"
        assert reads == [(start, end - start)]


def test_what_is_no_single_range_is_answered_in_whole(clinic: PartitionClient) -> None:
    file = make_instance(**UIDS)
    clinic.stored(file)
    for headers in (
        {},
        {"Range": "bytes=0-1,4-5"},
        {"Range": "bytes=5-2"},
        {"Range": "lines=1-2"},
        {"Range": "bytes=0-1", "If_Range": '"1"'},
        {"Range": "bytes=0-1", "If_Range": "Wed, 21 Oct 2015 07:28:00 GMT"},
    ):
        response = clinic.get(PATH, DICOM, **headers)
        assert (response.status_code, response.data) == (200, file), headers
        assert (response.headers["Accept-Ranges"], int(response.headers["Content-Length"])) == ("bytes", len(file))
        assert "Content-Range" not in response.headers


@pytest.mark.parametrize("path", [PATH, f"{PATH}/frames/1"])
def test_a_range_that_contains_no_byte_is_416(clinic: PartitionClient, reads: Reads, path: str) -> None:
    file = make_instance(**UIDS)
    clinic.stored(file)
    size = len(file) if path == PATH else 32
    reads.clear()
    for header in (f"bytes={size}-", f"bytes={size}-{size + 9}", "bytes=-0"):
        response = clinic.get(path, DICOM if path == PATH else OCTETS, Range=header)
        assert (response.status_code, response.text) == (416, "The requested range is not satisfiable.")
        assert response.headers["Content-Range"] == f"bytes */{size}"
    assert reads == []


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
def test_ranges_of_an_uncompressed_frame(clinic: PartitionClient, reads: Reads, syntax: str) -> None:
    clinic.stored(make_instance(**UIDS, frames=3, rows=8, columns=8, transfer_syntax=syntax))
    reads.clear()
    for accept, typed in ((OCTETS, EXPLICIT_LITTLE), (f"{OCTETS}; transfer-syntax=*", syntax)):
        response = clinic.get(f"{PATH}/frames/2", accept, Range="bytes=10-19")
        assert (response.status_code, response.data) == (206, frame(1, 8, 8)[10:20])
        assert response.headers["Content-Range"] == "bytes 10-19/128"
        assert response.headers["Content-Type"] == f"{OCTETS}; transfer-syntax={typed}"
        assert [length for _, length in reads] == [10]
        reads.clear()


def test_ranges_of_a_compressed_frame_cross_its_fragments(clinic: PartitionClient, reads: Reads) -> None:
    clinic.stored(encapsulated([[b"first.."], FRAGMENTS], **UIDS))
    whole, reads_of = (
        b"".join(FRAGMENTS),
        {"bytes=0-1": [2], "bytes=4-10": [2, 4, 1], "bytes=6-9": [4], "bytes=-2": [2]},
    )
    reads.clear()
    assert clinic.get(f"{PATH}/frames/2", "image/jpeg").data == whole
    for header, lengths in reads_of.items():
        reads.clear()
        response = clinic.get(f"{PATH}/frames/2", "image/jpeg", Range=header)
        first, _, last = response.headers["Content-Range"].removeprefix("bytes ").partition("/")[0].partition("-")
        assert (response.status_code, response.data) == (206, whole[int(first) : int(last) + 1])
        assert [length for _, length in reads] == lengths
        assert response.headers["Content-Type"] == f"image/jpeg; transfer-syntax={JPEG_BASELINE}"


def test_answers_that_have_no_ranges(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS, frames=2, transfer_syntax=EXPLICIT_BIG))
    for path, accept in (
        (PATH, AS_STORED),
        (PATH, DICOM),
        (f"{PATH}/frames/1", RELATED),
        (f"{PATH}/frames/1", OCTETS),
        (f"{PATH}/metadata", "application/dicom+json"),
    ):
        response = clinic.get(path, accept, Range="bytes=0-1")
        assert response.status_code == 200, (path, accept)
        assert "Accept-Ranges" not in response.headers
        assert len(response.data) > 2


# --- HEAD ---------------------------------------------------------------------------------------------------------

DEPENDENT = {"X-Request-Id", "Date", "Content-Type", "Content-Digest"}  # RFC 9530: an answer to HEAD has no content
BIG = {"rows": 1024, "columns": 1024}


@pytest.mark.parametrize(
    ("file", "path", "accept"),
    [
        (make_instance(**UIDS), PATH, DICOM),
        (make_instance(**UIDS), f"/studies/{STUDY}", AS_STORED),
        (make_instance(**UIDS, **BIG), f"/studies/{STUDY}/series/{SERIES}", "*/*"),
        (make_instance(**UIDS, frames=2), f"{PATH}/frames/2", OCTETS),
        (make_instance(**UIDS, frames=2), f"{PATH}/frames/2,1", "*/*"),
        (make_instance(**UIDS, frames=2, transfer_syntax=EXPLICIT_BIG), f"{PATH}/frames/2", OCTETS),
        (make_instance(**UIDS, frames=2, transfer_syntax=DEFLATED_LITTLE), f"{PATH}/frames/1,2", "*/*"),
        (encapsulated([FRAGMENTS], **UIDS), f"{PATH}/frames/1", "image/jpeg"),
        (encapsulated([FRAGMENTS], **UIDS), f"{PATH}/frames/1", RELATED),
        (encapsulated([FRAGMENTS], **UIDS), PATH, DICOM),
        (make_instance(**UIDS), f"{PATH}/frames/2", OCTETS),
        (make_instance(**UIDS), f"{PATH}/rendered", "image/jpeg"),
        (make_instance(**UIDS), f"{PATH}/metadata", "*/*"),
        (make_instance(**UIDS), "/studies", "*/*"),
        (make_instance(**UIDS), f"/studies/{STUDY}", "text/html"),
        (make_instance(**UIDS), "/studies/2.25.9", "*/*"),
    ],
)
def test_head_has_the_headers_of_get_and_opens_no_file(
    clinic: PartitionClient, reads: Reads, file: bytes, path: str, accept: str
) -> None:
    clinic.stored(file)
    answer = clinic.get(path, accept)
    reads.clear()
    for more in ({}, {"Range": "bytes=0-1"}):
        head = clinic.client.head(clinic.prefix + path, headers={"Accept": accept, **more})
        assert (head.status_code, head.data) == (answer.status_code, b"")
        kinds = [each.headers.get("Content-Type", "").partition("; boundary=")[0] for each in (head, answer)]
        assert kinds[0] == kinds[1]
        ours, theirs = (set(each.headers) for each in (head, answer))
        assert {each for each in ours ^ theirs if each[0] not in DEPENDENT} == set()
    assert reads == []


@pytest.mark.parametrize(
    ("syntax", "path", "accept"),
    [
        (IMPLICIT_LITTLE, PATH, DICOM),
        (EXPLICIT_BIG, f"/studies/{STUDY}", 'multipart/related; type="application/dicom"'),
        (EXPLICIT_LITTLE, PATH, f"{DICOM}; transfer-syntax=1.2.840.10008.1.2.5"),
        (EXPLICIT_LITTLE, f"{PATH}/frames/1,2", 'multipart/related; type="image/jls"'),
        (EXPLICIT_LITTLE, f"{PATH}/frames/2", "image/jls"),
    ],
)
def test_head_of_a_transcoded_answer_reads_the_header_and_one_frame_at_most(
    clinic: PartitionClient, reads: Reads, syntax: str, path: str, accept: str
) -> None:
    file = make_instance(**UIDS, frames=3, transfer_syntax=syntax)
    clinic.stored(file)
    answer = clinic.get(path, accept)
    assert answer.status_code == 200
    assert answer.data
    reads.clear()
    head = clinic.client.head(clinic.prefix + path, headers={"Accept": accept})
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers.get("Content-Length") == answer.headers.get("Content-Length")
    assert len(reads) <= 2
    assert sum(length or len(file) for _, length in reads) < len(file) - 32


def test_head_reads_a_file_only_for_what_the_index_does_not_tell(clinic: PartitionClient, reads: Reads) -> None:
    """Nothing separates the frames, so only the file tells that it has pixel data that is not transcoded."""
    file = encapsulated([[b"neither"], [b"a table"], [b"nor a"], [b"start"]], table="none", **UIDS, NumberOfFrames="3")
    clinic.stored(file)
    for method in (clinic.client.get, clinic.client.head):
        response = method(clinic.prefix + PATH, headers={"Accept": DICOM})
        assert response.headers["Content-Type"] == f"{DICOM}; transfer-syntax={JPEG_BASELINE}"
        assert int(response.headers["Content-Length"]) == len(file)


# --- Content-Length of parts --------------------------------------------------------------------------------------


def heads(body: bytes) -> list[bytes]:
    return [part.partition(b"\r\n\r\n")[0] for part in body.split(b"\r\n--")[1:-1]]


@pytest.mark.parametrize("rows", [4, 1024])
def test_parts_have_a_content_length(clinic: PartitionClient, rows: int) -> None:
    files = [make_instance(study=STUDY, rows=rows, columns=rows) for _ in range(2)]
    clinic.stored(*files, make_instance(**UIDS, frames=2))
    body = clinic.get(f"/studies/{STUDY}", AS_STORED).data
    for file in files:
        assert b"\r\nContent-Length: %d\r\n\r\n" % len(file) + file + b"\r\n--" in body
    answer = clinic.get(f"{PATH}/frames/2,1", RELATED)
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert [head.splitlines()[2] for head in heads(answer.data)] == [b"Content-Length: 32"] * 2


@pytest.mark.parametrize("syntax", [EXPLICIT_BIG, DEFLATED_LITTLE])
def test_frames_that_are_converted_have_a_content_length(clinic: PartitionClient, syntax: str) -> None:
    octets = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    pixels = bytes([2, 1, 4, 3, 6, 5])
    clinic.stored(make_instance(**UIDS, rows=1, columns=3, frames=2, pixel=pixels, transfer_syntax=syntax, **octets))
    for named in ("*", EXPLICIT_LITTLE) if syntax == EXPLICIT_BIG else ("*",):
        answer = clinic.get(f"{PATH}/frames/1,2", RELATED.replace("*", named))
        length = 4 if (syntax, named) == (EXPLICIT_BIG, "*") else 3
        assert [head.splitlines()[2] for head in heads(answer.data)] == [b"Content-Length: %d" % length] * 2
        assert int(answer.headers["Content-Length"]) == len(answer.data)


@pytest.mark.parametrize(("attributes", "known"), [({}, True), ({"pixel": False}, False)])
def test_a_transcoded_file_has_a_length_if_it_has_pixels(
    clinic: PartitionClient, attributes: dict[str, bool], known: bool
) -> None:
    clinic.stored(make_instance(**UIDS, transfer_syntax=IMPLICIT_LITTLE, **attributes))
    answer = clinic.get(PATH, 'multipart/related; type="application/dicom"')
    assert (b"Content-Length" in heads(answer.data)[0]) is known


@pytest.fixture
def short(clinic: PartitionClient, below: BlobStore, monkeypatch: pytest.MonkeyPatch) -> PartitionClient:
    """An archive with a file that lacks its last byte."""
    file = make_instance(**UIDS, frames=2)
    clinic.stored(file)

    def cut(_: str, start: int = 0, length: int | None = None) -> BinaryIO:
        return io.BytesIO(file[start : len(file) - 1 if length is None else min(len(file) - 1, start + length)])

    monkeypatch.setattr(below, "open", cut)
    return clinic


@pytest.mark.parametrize(
    ("path", "accept"), [(PATH, AS_STORED), (f"{PATH}/frames/1,2", RELATED), (f"{PATH}/frames/2", RELATED)]
)
def test_a_file_that_is_too_short_is_no_shorter_answer(short: PartitionClient, path: str, accept: str) -> None:
    response = short.get(path, accept)
    assert (response.status_code, response.text) == (503, "The data store operation failed.")


def test_a_frame_that_is_too_short_breaks_the_connection(short: PartitionClient) -> None:
    with pytest.raises(StorageUnavailable):
        _ = short.get(f"{PATH}/frames/2", OCTETS).data  # the client reads the body here
    assert short.get(f"{PATH}/frames/1", OCTETS).data == frame(0, 4, 4)
