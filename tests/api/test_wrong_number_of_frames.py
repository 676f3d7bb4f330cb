"""A Number of Frames that disagrees with the pixel data never hides a frame (conformance §4.6)."""

from __future__ import annotations

import pytest

from tests.support.dicomweb import PartitionClient
from tests.support.instances import (
    JPEG_2000,
    JPEG_BASELINE,
    RLE,
    encapsulated,
    frame,
    make_instance,
)

UIDS = {"study": "2.25.1", "series": "2.25.2", "instance": "2.25.3"}
FRAMES = "/studies/2.25.1/series/2.25.2/instances/2.25.3/frames"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEGS = [b"\xff\xd8\xff\xe0%d___\xff\xd9" % number for number in (1, 2, 3)]
CODESTREAMS = [b"\xff\x4f\xff\x51%d___\xff\xd9" % number for number in (1, 2, 3)]
SEGMENTS = [bytes([1, 0, 0, 0]) + bytes(60) + b"run%d" % number for number in (1, 2, 3)]


def served(clinic: PartitionClient, number: int) -> bytes | None:
    response = clinic.get(f"{FRAMES}/{number}", "application/octet-stream; transfer-syntax=*")
    assert response.status_code in (200, 404), response.text
    return response.data if response.status_code == 200 else None


@pytest.mark.parametrize("claimed", ["1", "2", "5", "0", "-3", "junk", "999999999", None])
@pytest.mark.parametrize("table", ["none", "basic", "extended"])
@pytest.mark.parametrize(
    "syntax, pictures",
    [(JPEG_BASELINE, JPEGS), (JPEG_LS, JPEGS), (JPEG_2000, CODESTREAMS), (RLE, SEGMENTS)],
    ids=["JPEG", "JPEG-LS", "JPEG 2000", "RLE"],
)
def test_encapsulated_frames_that_exist_are_served(
    clinic: PartitionClient, syntax: str, pictures: list[bytes], table: str, claimed: str | None
) -> None:
    pictures = [each + b"\0" * (len(each) % 2) for each in pictures]
    file = encapsulated(
        [[each] for each in pictures], table=table, transfer_syntax=syntax, NumberOfFrames=claimed, **UIDS
    )
    clinic.stored(file)
    assert [served(clinic, number) for number in (1, 2, 3, 4)] == [*pictures, None]


@pytest.mark.parametrize("table", ["basic", "extended"])
@pytest.mark.parametrize("claimed", ["2", "5", "7"])
def test_an_offset_table_separates_frames_of_several_fragments(
    clinic: PartitionClient, table: str, claimed: str
) -> None:
    frames = [[b"ab", b"cd"], [b"ef"], [b"gh", b"ij", b"kl"]]
    clinic.stored(encapsulated(frames, table=table, NumberOfFrames=claimed, **UIDS))
    assert [served(clinic, number) for number in (1, 2, 3, 4)] == [b"abcd", b"ef", b"ghijkl", None]


def test_fragments_of_one_frame_stay_together(clinic: PartitionClient) -> None:
    clinic.stored(encapsulated([[JPEGS[0][:6], JPEGS[0][6:] + b"\0" * (len(JPEGS[0]) % 2)]], table="none", **UIDS))
    assert served(clinic, 1) == JPEGS[0] + b"\0" * (len(JPEGS[0]) % 2)
    assert served(clinic, 2) is None


@pytest.mark.parametrize("written", ["+3", " 3 ", "3.0", "3.", "03", "2", "1", "9", "", "three"])
def test_native_frames_that_exist_are_served(clinic: PartitionClient, written: str) -> None:
    pixels = [frame(number, 4, 4) for number in range(3)]
    clinic.stored(make_instance(pixel=b"".join(pixels), NumberOfFrames=written, **UIDS))
    assert [served(clinic, number) for number in (1, 2, 3, 4)] == [*pixels, None]


@pytest.mark.parametrize("written", ["+2", " 2 ", "2.0"])
def test_a_number_of_frames_in_another_form(clinic: PartitionClient, written: str) -> None:
    clinic.stored(encapsulated([[b"ab", b"cd"], [b"ef"]], NumberOfFrames=written, **UIDS))
    assert [served(clinic, number) for number in (1, 2, 3)] == [b"abcd", b"ef", None]


def test_pixel_data_with_a_rest_has_the_frames_that_are_claimed(clinic: PartitionClient) -> None:
    pixels = frame(0, 4, 4)
    clinic.stored(make_instance(pixel=pixels + pixels[:20], NumberOfFrames="1", **UIDS))
    assert [served(clinic, number) for number in (1, 2)] == [pixels, None]
