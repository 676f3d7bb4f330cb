"""conformance §4.6, Frames, through HTTP."""

from __future__ import annotations

import pytest

from tests.support.dicomweb import Part, PartitionClient, in_little_endian, parts
from tests.support.instances import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_2000,
    JPEG_BASELINE,
    encapsulated,
    frame,
    make_instance,
)

UIDS = {"study": "2.25.1", "series": "2.25.2", "instance": "2.25.3"}
FRAMES = "/studies/2.25.1/series/2.25.2/instances/2.25.3/frames"
SINGLE = "application/octet-stream"
RELATED = 'multipart/related; type="application/octet-stream"'
RULE = (
    "The specified frames value is not valid. At least one frame must be present, "
    "and all requested frames must have value greater than 0."
)


def typed(syntax: str, kind: str = SINGLE) -> str:
    return f"{kind}; transfer-syntax={syntax}"


@pytest.mark.parametrize(
    "accept", [SINGLE, f"{SINGLE}; transfer-syntax=*", f"{SINGLE}; transfer-syntax={EXPLICIT_LITTLE}"]
)
@pytest.mark.parametrize("number", [1, 2, 5])
def test_one_frame_alone(clinic: PartitionClient, accept: str, number: int) -> None:
    clinic.stored(make_instance(**UIDS, frames=5, rows=8, columns=8))
    response = clinic.get(f"{FRAMES}/{number}", accept)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == typed(EXPLICIT_LITTLE)
    assert response.data == frame(number - 1, 8, 8)
    assert int(response.headers["Content-Length"]) == 128


@pytest.mark.parametrize(
    "accept", [RELATED, f"{RELATED}; transfer-syntax=*", "*/*", None, 'multipart/related; type="*/*"']
)
@pytest.mark.parametrize("numbers", [[1], [2, 1], [3, 3, 1, 5]])
def test_frames_in_the_order_asked_for(clinic: PartitionClient, accept: str | None, numbers: list[int]) -> None:
    clinic.stored(make_instance(**UIDS, frames=5))
    response = clinic.get(f"{FRAMES}/{','.join(map(str, numbers))}", accept)
    assert response.status_code == 200
    assert parts(response) == [Part(typed(EXPLICIT_LITTLE), frame(number - 1, 4, 4)) for number in numbers]


def test_an_encoded_comma_and_blanks(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS, frames=2))
    assert len(parts(clinic.get(f"{FRAMES}/1%2C2", RELATED))) == 2
    assert len(parts(clinic.get(f"{FRAMES}/1,%202", RELATED))) == 2


@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_BIG])
def test_uncompressed_frames_in_little_endian(clinic: PartitionClient, syntax: str) -> None:
    clinic.stored(make_instance(**UIDS, frames=2, transfer_syntax=syntax))
    response = clinic.get(f"{FRAMES}/2", SINGLE)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == typed(EXPLICIT_LITTLE)
    assert response.data == in_little_endian(frame(1, 4, 4), syntax)
    stored = clinic.get(f"{FRAMES}/2", f"{SINGLE}; transfer-syntax=*")
    assert (stored.data, stored.headers["Content-Type"]) == (frame(1, 4, 4), typed(syntax))


@pytest.mark.parametrize("accept", [RELATED, f"{RELATED}; transfer-syntax=*"])
def test_big_endian_frames_that_begin_within_a_word(clinic: PartitionClient, accept: str) -> None:
    octets = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    pixels = bytes([2, 1, 4, 3, 6, 5])
    clinic.stored(
        make_instance(**UIDS, rows=1, columns=3, frames=2, pixel=pixels, transfer_syntax=EXPLICIT_BIG, **octets)
    )
    response = clinic.get(f"{FRAMES}/1,2", accept)
    assert response.status_code == 200
    found = [body for _, body in parts(response)]
    assert found == ([b"\2\1\0\3", b"\5\4\0\6"] if "*" in accept else [b"\1\2\3", b"\4\5\6"])


@pytest.mark.parametrize(("table", "fragments"), [("basic", 1), ("basic", 3), ("extended", 1), ("none", 1)])
def test_compressed_frames_as_stored(clinic: PartitionClient, table: str, fragments: int) -> None:
    pictures = [[f"frame {k} part {n}.".encode() * 2 for n in range(fragments)] for k in range(3)]
    clinic.stored(encapsulated(pictures, table=table, **UIDS))
    response = clinic.get(f"{FRAMES}/3,1", f"{RELATED}; transfer-syntax=*")
    assert response.status_code == 200
    assert parts(response) == [Part(typed(JPEG_BASELINE), b"".join(pictures[k])) for k in (2, 0)]


@pytest.mark.parametrize("accept", [SINGLE, RELATED, 'multipart/related; type="image/jp2"'])
def test_compressed_frames_that_no_codec_reads_are_406(clinic: PartitionClient, accept: str) -> None:
    clinic.stored(encapsulated([[b"frame"]], **UIDS))
    response = clinic.get(f"{FRAMES}/1", accept)
    assert response.status_code == 406
    assert response.text.startswith("The specified transcoding is not supported. The frame")


@pytest.mark.parametrize("syntax", ["", f"; transfer-syntax={JPEG_2000}"])
def test_jpeg_2000_frames_of_a_jpeg_2000_instance(clinic: PartitionClient, syntax: str) -> None:
    clinic.stored(encapsulated([[b"frame!"]], **UIDS, transfer_syntax=JPEG_2000))
    response = clinic.get(f"{FRAMES}/1", f'multipart/related; type="image/jp2"{syntax}')
    assert response.status_code == 200
    assert parts(response) == [Part(typed(JPEG_2000, "image/jp2"), b"frame!")]


@pytest.mark.parametrize(
    "listed", ["", "/", "/0", "/-1", "/1,0", "/1,-2", "/a", "/1,b", "/1.5", "/1,,2", "/1,", "/%D9%A1"]
)
def test_a_bad_list_is_400(clinic: PartitionClient, listed: str) -> None:
    clinic.stored(make_instance(**UIDS, frames=2))
    response = clinic.get(FRAMES + listed, RELATED)
    assert (response.status_code, response.text) == (400, RULE)


@pytest.mark.parametrize("listed", ["3", "1,3", "99999999999999999999", "1" * 18])
def test_a_frame_beyond_the_last_is_404_or_400(clinic: PartitionClient, listed: str) -> None:
    clinic.stored(make_instance(**UIDS, frames=2))
    response = clinic.get(f"{FRAMES}/{listed}", RELATED)
    if len(listed) <= 18:
        assert (response.status_code, response.text) == (404, "The specified frame cannot be found.")
    else:
        assert response.status_code == 400


def test_an_instance_without_an_image_has_no_frame(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS, pixel=False))
    response = clinic.get(f"{FRAMES}/1", SINGLE)
    assert (response.status_code, response.text) == (404, "The specified frame cannot be found.")


def test_a_missing_instance_has_no_frame(clinic: PartitionClient) -> None:
    clinic.stored(make_instance())
    response = clinic.get(f"{FRAMES}/1", SINGLE)
    assert (response.status_code, response.text) == (404, "The specified instance cannot be found.")


def test_several_frames_need_multipart(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS, frames=2))
    response = clinic.get(f"{FRAMES}/1,2", SINGLE)
    text = "The accept header is supported for single frame retrieval, use multi-part accept header instead."
    assert (response.status_code, response.text) == (400, text)
    assert len(parts(clinic.get(f"{FRAMES}/1,2", f"{SINGLE}, {RELATED}"))) == 2


@pytest.mark.parametrize(
    "accept", ["image/jpx", "application/dicom", f"{RELATED}; transfer-syntax={JPEG_2000}", "image/png"]
)
def test_what_a_frame_cannot_be(clinic: PartitionClient, accept: str) -> None:
    clinic.stored(make_instance(**UIDS))
    response = clinic.get(f"{FRAMES}/1", accept)
    assert (response.status_code, response.text) == (406, "The request headers are not acceptable")
