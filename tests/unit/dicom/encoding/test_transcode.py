"""Files rewritten as Explicit VR Little Endian (conformance §4.3)."""

from __future__ import annotations

import struct
from collections.abc import Callable

import orjson
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from app.dicom.encoding.frames import frame_table
from app.dicom.encoding.part10 import parse
from app.dicom.encoding.transcode import native_frame, swapped, to_explicit_little
from app.dicom.json.bulk_data_texts import without_bulk_data
from app.dicom.json.model import describe
from app.errors import NotAcceptable
from tests.support import instances
from tests.support.raw_elements import EXPLICIT, IMPLICIT, SEQUENCE_END, UNDEFINED, element, implicit, item, part10

SYNTAXES = [instances.IMPLICIT_LITTLE, instances.EXPLICIT_LITTLE, instances.EXPLICIT_BIG, instances.DEFLATED_LITTLE]


def rewritten(data: bytes) -> bytes:
    return b"".join(to_explicit_little(data, parse(data)))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_dataset_does_not_change(syntax: str) -> None:
    data = instances.ct(rows=6, columns=6, transfer_syntax=syntax, preamble=b"x" * 128)
    after = rewritten(data)
    assert after[:128] == bytes(128)
    before, result = instances.read(data), instances.read(after)
    assert result.file_meta.TransferSyntaxUID == EXPLICIT
    assert result.file_meta.FileMetaInformationGroupLength == after.index(b"\x08\x00\x05\x00CS") - 144
    assert set(before.keys()) == set(result.keys())
    if syntax == instances.IMPLICIT_LITTLE:
        before_json, after_json = (orjson.dumps(describe(parse(file)).dataset) for file in (data, after))
        assert without_bulk_data(after_json) == without_bulk_data(before_json)
    else:
        pixels = before.pop("PixelData"), result.pop("PixelData")
        assert before == result
        assert swapped(bytes(pixels[0].value or b""), 2 if syntax == instances.EXPLICIT_BIG else 1) == pixels[1].value


def test_big_endian_words_of_every_size_are_reversed() -> None:
    extra = [
        DataElement(0x00091001 + n, vr, value)
        for n, (vr, value) in enumerate(
            {
                "OW": b"\1\2\3\4", "OF": b"\1\2\3\4", "OL": b"\1\2\3\4", "OD": bytes(range(8)), "OV": bytes(range(8)),
                "OB": b"\1\2", "UN": b"\1\2", "SL": -2, "SV": -3, "UV": 2**60, "UL": 7, "SS": -1, "AT": 0x00100020,
            }.items()
        )
    ]  # fmt: skip
    nested = DataElement(0x00091101, "SQ", Sequence([Dataset()]))
    nested.value[0].add(DataElement(0x00280010, "US", 513))
    data = instances.make_instance(transfer_syntax=instances.EXPLICIT_BIG, extra=[*extra, nested], pixel=False)
    result = instances.read(rewritten(data))
    raw = {element.VR: element.value for element in result if 0x00091001 <= element.tag < 0x00091101}
    assert raw == {
        "OW": b"\2\1\4\3", "OF": b"\4\3\2\1", "OL": b"\4\3\2\1", "OD": bytes(range(8))[::-1],
        "OV": bytes(range(8))[::-1], "OB": b"\1\2", "UN": b"\1\2", "SL": -2, "SV": -3, "UV": 2**60, "UL": 7, "SS": -1,
        "AT": 0x00100020,
    }  # fmt: skip
    assert result[0x00091101].value[0].Rows == 513


@pytest.mark.parametrize("bits, word", [(8, 2), (16, 2), (32, 4), (64, 8)])
def test_big_endian_pixels_are_reversed_by_their_bits_allocated(bits: int, word: int) -> None:
    pixels = bytes(range(64))
    data = instances.make_instance(
        rows=2, columns=2, frames=2, pixel=pixels, BitsAllocated=bits, transfer_syntax=instances.EXPLICIT_BIG
    )
    found = parse(data)
    table = frame_table(data, found)
    assert table.word == word
    ((start, length),) = table.ranges(2)
    result = instances.read(rewritten(data)).PixelData
    assert result == swapped(pixels, word)
    covering = data[start : start + length]
    assert native_frame(table, 2, covering, little=True) == result[length : 2 * length]
    assert native_frame(table, 2, covering, little=False) == covering


@pytest.mark.parametrize("bits, columns", [(8, 3), (8, 5), (1, 15), (1, 8), (1, 12)])
def test_big_endian_frames_that_end_within_a_word(bits: int, columns: int) -> None:
    """Each frame equals that of the little endian file. In big endian it is the same frame, padded and reversed."""
    image = {"rows": 1, "columns": columns, "frames": 4, "BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1}
    big = instances.make_instance(pixel=bytes(range(1, 33)), transfer_syntax=instances.EXPLICIT_BIG, **image)
    little = instances.make_instance(pixel=swapped(bytes(range(1, 33)), 2), **image)
    table, plain = (frame_table(data, parse(data)) for data in (big, little))
    for number in range(1, 5):
        ((start, length),) = plain.ranges(number)
        expected = plain.cut(number, little[start : start + length])
        ((start, length),) = table.ranges(number)
        covering = big[start : start + length]
        assert native_frame(table, number, covering, little=True) == expected
        padded = expected + bytes(len(expected) % 2)
        assert native_frame(table, number, covering, little=False) == swapped(padded, 2)


def test_implicit_values_too_long_for_the_short_form_become_un() -> None:
    data = part10(implicit(0x00280030, b"1.5\\" * 20_000) + implicit(0x00091001, b"xyz"), IMPLICIT)
    result = parse(rewritten(data))
    assert rewritten(data).count(b"\x28\x00\x30\x00UN\0\0") == 1
    assert [(e.tag, e.length) for e in result.elements] == [(0x00280030, 80_000), (0x00091001, 4)]


def test_values_are_padded_to_even_lengths() -> None:
    odd = element(0x00080018, "UI", b"1.2") + element(0x00100020, "LO", b"P12") + element(0x7FE00010, "OB", b"123")
    result = rewritten(part10(odd))
    assert [result[e.offset : e.offset + e.length] for e in parse(result).elements] == [b"1.2\0", b"P12 ", b"123\0"]


def test_group_lengths_are_left_out_and_undefined_lengths_can_be_read() -> None:
    inner = element(0x00080000, "UL", struct.pack("<L", 99)) + element(0x00100020, "LO", b"P1")
    sequence = element(0x00081140, "SQ", item(inner, UNDEFINED) + SEQUENCE_END, UNDEFINED)
    icon = element(0x00880200, "SQ", item(element(0x7FE00010, "OB", item(b"") + item(b"ab") + SEQUENCE_END, UNDEFINED)))
    result = instances.read(rewritten(part10(inner + sequence + icon)))
    assert result.PatientID == "P1"
    assert list(result[0x00081140].value[0].keys()) == [0x00100020]
    assert result[0x00880200].value[0].PixelData == item(b"") + item(b"ab")


@pytest.mark.parametrize(
    "make",
    [
        lambda: instances.encapsulated([[b"ab"]]),
        lambda: instances.make_instance().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"),
    ],
)
def test_compressed_files_are_refused_before_the_first_chunk(make: Callable[[], bytes]) -> None:
    data = make()
    with pytest.raises(NotAcceptable, match=r"^The specified transcoding is not supported\. The instance has"):
        to_explicit_little(data, parse(data))


def test_a_compressed_syntax_without_pixels_is_rewritten() -> None:
    data = instances.make_instance(pixel=False, transfer_syntax=instances.JPEG_BASELINE)
    assert instances.read(rewritten(data)).file_meta.TransferSyntaxUID == EXPLICIT


def test_chunks_are_small_and_few() -> None:
    data = instances.make_instance(rows=1024, columns=1024, frames=3, transfer_syntax=instances.EXPLICIT_BIG)
    pieces = [len(piece) for piece in to_explicit_little(data, parse(data))]
    assert max(pieces) <= 1 << 20
    assert len(pieces) < 10
