"""Images whose attributes lie, through HTTP: a picture or a 4xx with the reason, in bounded memory."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from app.dicom.encoding.part10 import parse
from app.services.retrieve import image_headers
from tests.api.test_rendered import INSTANCE, RENDERED, UIDS, on_one_engine
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.pictures import gradient, gray_image

EIGHT_BITS: dict[str, Any] = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}


@on_one_engine
@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/gif", "image/webp", "image/jp2"])
@pytest.mark.parametrize("photometric", ["RGB", "ARGB", "", "PALETTE COLOR", "MONOCHROME2"])
def test_four_samples_in_each_media_type(clinic: PartitionClient, photometric: str, media_type: str) -> None:
    pixels = {"rows": 4, "columns": 4, "pixel": bytes(range(64)), "SamplesPerPixel": 4}
    clinic.stored(make_instance(**UIDS, **pixels, **EIGHT_BITS, PhotometricInterpretation=photometric))
    answer = clinic.get(RENDERED, media_type)
    assert (answer.status_code, answer.mimetype) == (200, media_type)


@on_one_engine
def test_what_is_before_the_pixels_is_read_up_to_a_limit(
    clinic: PartitionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic.stored(gray_image(gradient(4, 4), **UIDS, TextValue="x" * 3000))
    monkeypatch.setattr(image_headers, "MAX_BEFORE_PIXELS", 3000)
    answer = clinic.get(RENDERED, "image/png")
    assert answer.status_code == 406
    assert "bytes before the pixel data. At most 3000 are read." in answer.text


def test_a_header_of_many_small_elements_counts_with_the_memory_of_its_elements() -> None:
    data = make_instance(instance=INSTANCE)
    place = data.rindex(b"\xe0\x7f\x10\0")
    empty = b"".join(struct.pack("<HH2sH", 0x0029, 0x1000 + number, b"SH", 0) for number in range(2000))
    item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(empty)) + empty
    sequence = struct.pack("<HH2sHI", 0x0029, 0x0010, b"SQ", 0, len(item)) + item
    elements = parse(data[:place] + sequence + data[place:]).elements
    assert image_headers.elements_in_memory(elements) == len(parse(data).elements) + 1 + 1 + 2000
