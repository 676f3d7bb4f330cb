"""The parts of a file before and after its pixel data, rewritten as Explicit VR Little Endian (conformance §4.3)."""

from __future__ import annotations

import struct

import pytest
from pydicom.dataelem import DataElement

from app.dicom.encoding.attribute_reader import before_pixels
from app.dicom.encoding.part10 import PIXEL_DATA, Part10, inflated, parse
from app.dicom.encoding.transcode import (
    Changes,
    after_pixel_data,
    before_pixel_data,
    element_header,
    native_element,
    swapped,
    swapped_chunks,
    to_explicit_little,
)
from app.dicom.encoding.uids import IMPLEMENTATION_CLASS_UID
from tests.support import instances
from tests.support.raw_elements import EXPLICIT, element, implicit

NATIVE = [instances.IMPLICIT_LITTLE, instances.EXPLICIT_LITTLE, instances.EXPLICIT_BIG]
PADDING = DataElement(0xFFFCFFFC, "OB", b"\0" * 10)
NUMBER_OF_FRAMES, ROWS, PHOTOMETRIC, RATIO = 0x00280008, 0x00280010, 0x00280004, 0x00282112


def head_of(data: bytes, changes: Changes, syntax: str = EXPLICIT) -> bytes:
    start = parse(data).pixel_data.offset
    part10, _tag = before_pixels(data[:start])
    return b"".join(before_pixel_data(data[:start], part10, syntax, changes))


def layout(data: bytes) -> tuple[bytes, Part10]:
    """The bytes before the value of the pixel data, and the layout of the elements before."""
    before = data[: parse(data).pixel_data.offset]
    return before, before_pixels(before)[0]


@pytest.mark.parametrize("syntax", NATIVE)
def test_the_parts_are_the_whole_file(syntax: str) -> None:
    data = instances.ct(rows=6, columns=6, transfer_syntax=syntax, extra=[PADDING])
    before, part10 = layout(data)
    tag, vr, length = native_element(before, part10)
    whole = b"".join(to_explicit_little(data, parse(data)))
    assert (tag, vr, length) == (PIXEL_DATA, "OW", 72)
    head = b"".join(before_pixel_data(before, part10, EXPLICIT, {})) + element_header(tag, vr, length)
    tail = b"".join(after_pixel_data(data[len(before) + length :], part10))
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert len(whole) == len(head) + length + len(tail)
    assert len(tail) == 12 + 10


def test_the_parts_of_a_deflated_file() -> None:
    data = instances.make_instance(transfer_syntax=instances.DEFLATED_LITTLE, extra=[PADDING])
    part10 = parse(data)
    plain = inflated(data, part10.dataset_offset)
    head, tail = b"".join(before_pixel_data(plain, part10, EXPLICIT, {})), b"".join(after_pixel_data(plain, part10))
    assert PIXEL_DATA not in instances.read(head + tail)
    assert bytes(instances.read(head + tail)[PADDING.tag].value) == b"\0" * 10


@pytest.mark.parametrize("syntax", NATIVE)
def test_changed_new_and_removed_attributes(syntax: str) -> None:
    data = instances.make_instance(transfer_syntax=syntax, PatientComments="left out")
    changes: Changes = {
        NUMBER_OF_FRAMES: ("IS", b"3 "),
        ROWS: ("US", b"\x01\x02"),
        PHOTOMETRIC: ("CS", b"RGB "),
        RATIO: ("DS", b"2.5 "),
        0x00104000: None,
    }
    result = instances.read(head_of(data, changes))
    assert (result.NumberOfFrames, result.Rows, result.PhotometricInterpretation) == (3, 0x0201, "RGB")
    assert result.LossyImageCompressionRatio == 2.5
    assert "PatientComments" not in result
    assert list(result.keys()) == sorted(result.keys())
    assert result.Columns == 4


def test_the_file_meta_information_names_syntax_and_writer() -> None:
    meta = instances.read(head_of(instances.make_instance(), {}, instances.JPEG_2000)).file_meta
    assert meta.TransferSyntaxUID == instances.JPEG_2000
    assert (meta.ImplementationClassUID, meta.ImplementationVersionName) == (IMPLEMENTATION_CLASS_UID, "BULKHEAD")


def test_bytes_after_the_pixel_data_that_are_no_elements_are_left_out() -> None:
    before, part10 = layout(instances.make_instance())
    signature = element(0xFFFCFFFC, "OB", b"1234")
    assert b"".join(after_pixel_data(signature + b"junk of a transfer", part10)) == signature
    assert b"".join(after_pixel_data(b"junk", part10)) == b""
    assert b"".join(after_pixel_data(b"", part10)) == b""
    assert before


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_chunks_that_end_within_a_word(size: int) -> None:
    data = bytes(range(61))
    for pieces in ([data], [data[:3], data[3:4], b"", data[4:31], data[31:]], [data[n : n + 1] for n in range(61)]):
        assert b"".join(swapped_chunks(pieces, size)) == swapped(data, size)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (element(PIXEL_DATA, "OB", b"", 7), (PIXEL_DATA, "OB", 7)),
        (element(PIXEL_DATA, "UN", b"", 8), (PIXEL_DATA, "OW", 8)),
        (element(0x7FE00008, "OF", b"", 64), (0x7FE00008, "OF", 64)),
        (implicit(PIXEL_DATA, b"", 70_000), (PIXEL_DATA, "OW", 70_000)),
        (struct.pack("<HH2sH", 0x7FE0, 0x0010, b"US", 300), (PIXEL_DATA, "US", 300)),
    ],
)
def test_the_header_of_native_pixel_data(header: bytes, found: tuple[int, str, int]) -> None:
    before = instances.make_instance(pixel=False)
    assert native_element(before + header, parse(before)) == found
