"""The description of the pixels of an instance, from attributes that may be wrong."""

from __future__ import annotations

import struct

import pytest

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.part10 import parse
from app.dicom.encoding.uids import EXPLICIT_LITTLE
from app.errors import ImageFailure
from app.imaging.pixels.description import PixelDescription
from tests.support.raw_elements import element, part10

NUMBERS = {0x00280002: 1, 0x00280010: 2, 0x00280011: 3, 0x00280100: 16, 0x00280101: 12, 0x00280102: 11, 0x00280103: 0}


def described(photometric: bytes = b"MONOCHROME2 ", **changed: int) -> PixelDescription:
    """Return the description of an image. `changed` has values by the last four digits of their tags: `x0010=0`."""
    numbers = NUMBERS | {0x00280000 | int(name[1:], 16): value for name, value in changed.items()}
    elements = [element(tag, "US", struct.pack("<H", value)) for tag, value in numbers.items()]
    elements.insert(1, element(0x00280004, "CS", photometric))
    data = part10(b"".join(elements))
    return PixelDescription.of(AttributeReader.of(data, parse(data)), EXPLICIT_LITTLE)


def test_the_values_of_an_image() -> None:
    found = described()
    assert (found.rows, found.columns, found.samples, found.photometric) == (2, 3, 1, "MONOCHROME2")
    assert (found.bits_allocated, found.bits_stored, found.high_bit, found.signed) == (16, 12, 11, False)


@pytest.mark.parametrize(("stored", "high", "expected"), [(0, 0, (16, 15)), (17, 16, (16, 15)), (12, 3, (12, 11))])
def test_wrong_bits_become_the_largest_that_are_possible(stored: int, high: int, expected: tuple[int, int]) -> None:
    found = described(x0101=stored, x0102=high)
    assert (found.bits_stored, found.high_bit) == expected


@pytest.mark.parametrize(
    ("photometric", "changed", "reason"),
    [
        (b"MONOCHROME2 ", {"x0010": 0}, "0 rows and 3 columns"),
        (b"MONOCHROME2 ", {"x0002": 2}, "Samples per Pixel is 2"),
        (b"MONOCHROME2 ", {"x0100": 7}, "Bits Allocated is 7"),
        (b"MONOCHROME2 ", {"x0010": 65535, "x0011": 65535}, "A frame has more than"),
        (b"A" * 18, {}, "Photometric Interpretation is longer than 16 characters"),
    ],
)
def test_values_that_no_image_has_are_named(photometric: bytes, changed: dict[str, int], reason: str) -> None:
    with pytest.raises(ImageFailure, match=reason):
        described(photometric, **changed)
