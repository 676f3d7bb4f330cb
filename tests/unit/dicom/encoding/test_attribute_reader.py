"""Typed values of attributes, and the layout of a file that is known only up to its pixels."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pydicom.data
import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence

from app.dicom.encoding.attribute_reader import AttributeReader, before_pixels
from app.dicom.encoding.frames import frame_table
from app.dicom.encoding.limits import MAX_VALUE
from app.dicom.encoding.part10 import parse
from app.errors import InvalidInstance
from tests.support.raw_elements import element, part10

_FOLDER = Path(pydicom.data.__file__).parent / "test_files"
_NAMES = (
    "CT_small",
    "SC_rgb_small_odd",
    "SC_rgb_jpeg_dcmtk",
    "MR_small_bigendian",
    "JPEG2000",
    "MR_small_RLE",
    "rtdose",
)
PIXEL_FILES = [_FOLDER / f"{name}.dcm" for name in _NAMES]


def reader(**values: object) -> AttributeReader:
    """Return the reader of a little endian file with these values."""
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    out = BytesIO()
    dataset.save_as(out, implicit_vr=False, little_endian=True)
    data = part10(out.getvalue())
    return AttributeReader.of(data, parse(data))


def test_numbers_of_text_and_of_words() -> None:
    read = reader(WindowCenter=[40.5, -600], Rows=3, LossyImageCompressionRatio=[2], PixelAspectRatio=[1, 2])
    assert read.numbers(0x00281050) == [40.5, -600]
    assert read.integer(0x00280010, 0) == 3
    assert read.numbers(0x00280034) == [1, 2]
    assert read.number(0x00281051) is None
    assert read.integer(0x00280011, 7) == 7


@pytest.mark.parametrize("raw", [b"", b" ", b"abc", b"1e", b"0x10", b"1_0", b"9" * 65, b"nan", b"\xff\xfe"])
def test_a_value_that_is_no_number_is_no_value(raw: bytes) -> None:
    data = part10(element(0x00281050, "DS", raw + b" " * (len(raw) % 2)))
    assert AttributeReader.of(data, parse(data)).numbers(0x00281050) == []


def test_text_is_decoded_and_has_no_padding() -> None:
    read = reader(SpecificCharacterSet="ISO_IR 192", PatientName="Müller^Änne", ImageType=["ORIGINAL", "PRIMARY "])
    assert read.text(0x00100010) == "Müller^Änne"
    assert read.texts(0x00080008) == ["ORIGINAL", "PRIMARY"]
    assert read.text(0x00080060) == ""


def test_items_read_the_character_set_of_their_dataset() -> None:
    item = Dataset()
    item.CodeMeaning = "Größe"
    read = reader(SpecificCharacterSet="ISO_IR 192", ConceptNameCodeSequence=Sequence([item]))
    first = read.item(0x0040A043)
    assert first is not None
    assert first.text(0x00080104) == "Größe"
    assert read.item(0x0040A168) is None


@pytest.mark.parametrize("path", PIXEL_FILES, ids=lambda path: path.name)
def test_the_bytes_before_the_pixels_give_the_same_attributes(path: Path) -> None:
    data = path.read_bytes()
    whole = parse(data)
    table = frame_table(data, whole)
    assert whole.pixel_data is not None
    found, tag = before_pixels(data[: table.start])
    assert tag == whole.pixel_data.tag
    read, expected = AttributeReader.of(data, found), AttributeReader.of(data, whole)
    before = [each for each in expected if each < tag]
    assert list(read) == before
    assert [read.data(each) for each in before] == [expected.data(each) for each in before]
    assert read.integer(0x00280010, 0) == dcmread(path).Rows


def test_the_tag_of_the_pixels_within_a_value_is_not_the_pixel_data() -> None:
    private = element(0x00091001, "OB", b"\xe0\x7f\x10\x00" * 4)
    begin = part10(private + element(0x00280010, "US", b"\2\0"))
    found, _tag = before_pixels(begin + element(0x7FE00010, "OW", b"", 8))
    assert found.size == len(begin)


def test_a_file_without_pixels_is_refused() -> None:
    with pytest.raises(InvalidInstance, match="its pixel data was not found"):
        before_pixels(part10(element(0x00280010, "US", b"\2\0")))


def test_a_part_of_a_value_and_its_length() -> None:
    read = reader(EncapsulatedDocument=b"0123456789", Rows=3)
    assert read.length(0x00420011) == 10
    assert read.part(0x00420011, 2, 5) == b"234"
    assert read.part(0x00420011, 8, 50) == b"89"
    assert read.part(0x00420011, 10, 5) == b""
    assert (read.length(0x00281051), read.part(0x00281051, 0, 4)) == (0, b"")
    assert reader(AnatomicRegionSequence=[Dataset()]).length(0x00082218) == 0


def test_a_part_of_a_big_endian_value_has_its_words_reversed() -> None:
    path = _FOLDER / "MR_small_bigendian.dcm"
    data = path.read_bytes()
    read = AttributeReader.of(data, parse(data))
    pixels = dcmread(path).PixelData
    assert read.part(0x7FE00010, 2, 6) == pixels[3:1:-1] + pixels[5:3:-1]


def test_a_very_long_value_is_cut_where_numbers_and_text_are_made_of_it() -> None:
    many = b"1\\" * MAX_VALUE
    data = part10(element(0x00420010, "UC", b"a" * (MAX_VALUE + 2)) + element(0x00560003, "UC", many))
    read = AttributeReader.of(data, parse(data))
    assert read.text(0x00420010) == "a" * MAX_VALUE
    assert len(read.numbers(0x00560003)) == MAX_VALUE // 2
    assert read.length(0x00420010) == MAX_VALUE + 2
