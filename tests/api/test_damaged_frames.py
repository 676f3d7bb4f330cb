"""Frames that cannot be decoded cost their own request, and no other (conformance §4.12)."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from tests.support.codestreams import compressed_frame
from tests.support.dicomweb import PartitionClient
from tests.support.images import KINDS, make_compressed, samples_of

KIND = KINDS["16 bit signed"]
WHOLE = compressed_frame("JPEG 2000").data
PATH = "/studies/2.25.1/series/2.25.2/instances"
NATIVE = 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1'


def instance(number: int, frame: bytes) -> bytes:
    """Return a JPEG 2000 image as Part 10 bytes."""
    syntax = "1.2.840.10008.1.2.4.90"
    return make_compressed(KIND, [frame], syntax, study="2.25.1", series="2.25.2", instance=f"2.25.{number}")


DAMAGED = {
    "cut off": (WHOLE[: len(WHOLE) // 2], "The codestream is cut off: it has no end marker."),
    "huge": (
        WHOLE[:8] + struct.pack(">IIIIII", 60000, 60000, 0, 0, 60000, 60000) + WHOLE[32:],
        "The codestream has 60000 rows, 60000 columns and 1 samples; the image has 16, 20, 1.",
    ),
    "damaged": (WHOLE[: len(WHOLE) // 2] + b"\xff\xd9", "The frame cannot be decoded: "),
    "no codestream": (b"\0" * 100, "The frame has no JPEG 2000 codestream."),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_frame_is_406_and_the_next_one_is_whole(clinic: PartitionClient, damage: str) -> None:
    frame, reason = DAMAGED[damage]
    clinic.stored(instance(3, frame), instance(4, WHOLE))
    refused = clinic.get(f"{PATH}/2.25.3/frames/1", NATIVE)
    assert refused.status_code == 406
    assert reason.replace("decoded", "transcoded") in refused.text
    rendered = clinic.get(f"{PATH}/2.25.3/rendered", "image/jpeg")
    assert rendered.status_code == 406
    assert reason in rendered.text
    answer = clinic.get(f"{PATH}/2.25.4/frames/1", NATIVE)
    assert answer.status_code == 200
    assert samples_of(KIND).astype(np.int16).tobytes() in answer.data
    assert clinic.get(f"{PATH}/2.25.3/frames/1", "*/*").status_code == 200  # as stored
