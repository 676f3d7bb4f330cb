"""Files whose meta group, byte order, deflation, end or numbers are odd are stored byte for byte (conformance §3.1)."""

from __future__ import annotations

import json
import struct
import zlib

import pytest
from flask.testing import FlaskClient

from tests.api.test_odd_elements import (
    AFTER,
    AS_STORED,
    BEFORE,
    PATH,
    SEQUENCE,
    WRITERS,
    Writer,
    check_stored,
    file_of,
    service,
)
from tests.support.bulk_update import update
from tests.support.dicomweb import PartitionClient
from tests.support.instances import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, JPEG_BASELINE
from tests.support.raw_elements import UNDEFINED, part10

__all__ = ["service"]  # a fixture

LITTLE, BIG, IMPLICIT = (WRITERS[name][0] for name in ("explicit", "big endian", "implicit"))
GOOD = (BEFORE, "CS", b"HEAD"), (AFTER, "CS", b"FFS ")
WORDS = struct.pack("<4H", 1, 2, 3, 4)
JPEGS = [b"\xff\xd8\xff\xe0%d___\xff\xd9\0" % number for number in (1, 2)]
FRAME = "application/octet-stream; transfer-syntax=*"


def dataset(writer: Writer, *more: bytes) -> bytes:
    return writer.dataset(*(writer.element(*each) for each in GOOD), *more)


def image(writer: Writer, *, bits: int = 16, rows: tuple[str, bytes] | None = None) -> bytes:
    """The attributes of an image of 2 x 2 pixels."""

    def number(value: int) -> bytes:
        return struct.pack(writer.order + "H", value)

    return b"".join(
        (
            writer.element(0x00280002, "US", number(1)),
            writer.element(0x00280010, *(rows or ("US", number(2)))),
            writer.element(0x00280011, "US", number(2)),
            writer.element(0x00280100, "US", number(bits)),
        )
    )


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    "writer, claimed",
    [
        (BIG, EXPLICIT_LITTLE),
        (BIG, IMPLICIT_LITTLE),
        (BIG, JPEG_BASELINE),
        (LITTLE, EXPLICIT_BIG),
        (IMPLICIT, EXPLICIT_BIG),
        (IMPLICIT, EXPLICIT_LITTLE),
        (IMPLICIT, JPEG_BASELINE),
        (LITTLE, IMPLICIT_LITTLE),
        (IMPLICIT, "1.2.840.113619.5.2"),
        (LITTLE, DEFLATED_LITTLE),
    ],
)
def test_a_dataset_in_another_encoding_than_its_transfer_syntax(
    service: FlaskClient, writer: Writer, claimed: str, version: str
) -> None:
    """DCMTK and dcm4che read the encoding from the first element of the dataset."""
    _item, metadata = check_stored(service, version, part10(dataset(writer), claimed))
    assert (metadata["00180015"]["Value"], metadata["00185100"]["Value"]) == (["HEAD"], ["FFS"])


@pytest.mark.parametrize("named", [EXPLICIT_LITTLE, EXPLICIT_BIG])
@pytest.mark.parametrize("writer", [LITTLE, BIG], ids=["little", "big"])
def test_a_frame_has_the_byte_order_of_the_transfer_syntax_that_is_named(
    service: FlaskClient, writer: Writer, named: str
) -> None:
    pixels = WORDS if writer is LITTLE else struct.pack(">4H", 1, 2, 3, 4)
    file = part10(dataset(writer, image(writer)) + writer.element(0x7FE00010, "OW", pixels), named)
    clinic = PartitionClient(service, "/v2/partitions/odd")
    clinic.stored(file)
    if named == EXPLICIT_LITTLE or writer is BIG:
        answer = clinic.get(f"{PATH}/frames/1", FRAME)
        assert answer.headers["Content-Type"] == f"application/octet-stream; transfer-syntax={named}"
        assert answer.data == (WORDS if named == EXPLICIT_LITTLE else pixels)
    assert clinic.get(f"{PATH}/frames/1", "application/octet-stream").data == WORDS
    clinic.delete("/studies/2.25.1")


@pytest.mark.parametrize("writer, claimed", [(BIG, EXPLICIT_BIG), (LITTLE, EXPLICIT_LITTLE)], ids=["big", "little"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_meta_group_in_either_byte_order(service: FlaskClient, order: str, writer: Writer, claimed: str) -> None:
    meta_writer = Writer(order=order)
    meta = meta_writer.element(0x00020010, "UI", claimed.encode() + b"\0" * (len(claimed) % 2))
    length = meta_writer.element(0x00020000, "UL", struct.pack(order + "L", len(meta)))
    file = bytes(128) + b"DICM" + length + meta + dataset(writer)
    _item, metadata = check_stored(service, "v2", file)
    assert metadata["00180015"]["Value"] == ["HEAD"]


@pytest.mark.parametrize("length", [0, 1, 50, 10_000, 0xFFFFFFFF, None])
def test_a_wrong_or_missing_length_of_the_meta_group(service: FlaskClient, length: int | None) -> None:
    whole = part10(dataset(LITTLE))
    given = b"" if length is None else LITTLE.element(0x00020000, "UL", struct.pack("<L", length))
    _item, metadata = check_stored(service, "v2", whole[:132] + given + whole[144:])
    assert metadata["00180015"]["Value"] == ["HEAD"]


@pytest.mark.parametrize("wrap", [15, 31], ids=["zlib", "gzip"])
def test_a_deflated_dataset_in_a_wrapper(service: FlaskClient, wrap: int) -> None:
    _item, metadata = check_stored(service, "v2", file_of("deflated", b"", nested=False, wrap=wrap))
    assert metadata["00180015"]["Value"] == ["HEAD"]


def test_frames_of_a_file_that_is_not_deflated_as_it_claims(service: FlaskClient) -> None:
    """The dataset of such a file begins with an element and not with a deflated stream."""
    file = part10(dataset(LITTLE, image(LITTLE)) + LITTLE.element(0x7FE00010, "OW", WORDS), DEFLATED_LITTLE)
    clinic = PartitionClient(service, "/v2/partitions/odd")
    clinic.stored(file)
    assert clinic.get(PATH, AS_STORED).data == file
    assert clinic.get(f"{PATH}/frames/1", FRAME).data == WORDS
    assert clinic.get(PATH, "application/dicom; transfer-syntax=1.2.840.10008.1.2.1").data.endswith(WORDS)
    clinic.delete("/studies/2.25.1")


def test_a_damaged_deflated_stream_is_refused(service: FlaskClient) -> None:
    damaged = bytearray(zlib.compress(dataset(LITTLE), wbits=-15))
    damaged[20] ^= 0xFF
    response = PartitionClient(service, "/v2/partitions/odd").store(part10(bytes(damaged), DEFLATED_LITTLE))
    assert response.status_code == 409


TRAILING = {
    "text": b"GARBAGE!" * 5,
    "few bytes": b"abc",
    "a line": b"\nEnd of file\n",
    "end of text": b"\x1a",
    "an empty item": LITTLE.item(b""),
    "the end of a sequence": b"\xfe\xff\xdd\xe0\0\0\0\0" * 2,
    "trailing padding": LITTLE.element(0xFFFCFFFC, "OB", bytes(60)),
    "an earlier element": LITTLE.element(0x00080005, "CS", b"abcd")[:-2],
}


@pytest.mark.parametrize("pixels", ["native", "encapsulated"])
@pytest.mark.parametrize("trailing", TRAILING)
def test_bytes_after_the_pixel_data(service: FlaskClient, trailing: str, pixels: str) -> None:
    native = pixels == "native"
    value = (
        LITTLE.element(0x7FE00010, "OW", WORDS)
        if native
        else LITTLE.undefined(0x7FE00010, "OB", LITTLE.item(b"") + LITTLE.item(JPEGS[0]))
    )
    syntax = EXPLICIT_LITTLE if native else JPEG_BASELINE
    file = part10(dataset(LITTLE, image(LITTLE)) + value + TRAILING[trailing], syntax)
    clinic = PartitionClient(service, "/v2/partitions/odd")
    clinic.stored(file)
    assert clinic.get(PATH, AS_STORED).data == file
    assert clinic.get(f"{PATH}/frames/1", FRAME).data == (WORDS if native else JPEGS[0])
    clinic.delete("/studies/2.25.1")


@pytest.mark.parametrize(
    "cut",
    [
        LITTLE.element(0x7FE00010, "OW", WORDS)[:-1],
        LITTLE.element(0x7FE00010, "OW", WORDS) + LITTLE.element(0xFFFAFFFA, "SQ", LITTLE.item(b""))[:-3],
        LITTLE.element(0x7FE00010, "OW", WORDS) + LITTLE.element(0xFFFCFFFC, "OB", bytes(60))[:-3],
    ],
    ids=["pixels", "signatures", "padding"],
)
def test_a_file_that_is_cut_short_is_refused(service: FlaskClient, cut: bytes) -> None:
    response = PartitionClient(service, "/v2/partitions/odd").store(part10(dataset(LITTLE, image(LITTLE)) + cut))
    assert response.status_code == 409
    assert "The DICOM instance is invalid: " in response.text


@pytest.mark.parametrize("encoding", WRITERS)
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_items_of_undefined_length_without_their_delimiters(service: FlaskClient, encoding: str, nested: bool) -> None:
    writer = WRITERS[encoding][0]
    items = [writer.item(writer.element(0x00080100, "SH", code), UNDEFINED) for code in (b"a1", b"b2")]
    odd = writer.undefined(SEQUENCE, "SQ", b"".join(items))
    _item, metadata = check_stored(service, "v2", file_of(encoding, odd, nested=nested))
    beside = metadata["00189346"]["Value"][0] if nested else metadata
    assert [each["00080100"]["Value"] for each in beside["00180012"]["Value"]] == [["a1"], ["b2"]]
    assert beside["00185100"]["Value"] == ["FFS"]


@pytest.mark.parametrize("count", [1, 2])
def test_encapsulated_pixel_data_without_an_offset_table(service: FlaskClient, count: int) -> None:
    """Some writers leave out the item of the table. The first item is then a frame."""
    frames = LITTLE.element(0x00280008, "IS", b"%d " % count)
    items = b"".join(map(LITTLE.item, JPEGS[:count]))
    file = part10(
        dataset(LITTLE, frames, image(LITTLE, bits=8)) + LITTLE.undefined(0x7FE00010, "OB", items), JPEG_BASELINE
    )
    clinic = PartitionClient(service, "/v2/partitions/odd")
    clinic.stored(file)
    assert [clinic.get(f"{PATH}/frames/{number}", FRAME).data for number in range(1, count + 1)] == JPEGS[:count]
    assert clinic.get(f"{PATH}/frames/{count + 1}", FRAME).status_code == 404
    clinic.delete("/studies/2.25.1")


@pytest.mark.parametrize(
    "rows", [("SS", b"\2\0"), ("UL", b"\2\0\0\0"), ("SL", b"\2\0\0\0"), ("IS", b"2 "), ("UN", b"\2\0")]
)
def test_rows_of_another_vr(service: FlaskClient, rows: tuple[str, bytes]) -> None:
    file = part10(dataset(LITTLE, image(LITTLE, rows=rows)) + LITTLE.element(0x7FE00010, "OW", WORDS))
    clinic = PartitionClient(service, "/v2/partitions/odd")
    clinic.stored(file)
    assert clinic.get(f"{PATH}/frames/1", FRAME).data == WORDS
    clinic.delete("/studies/2.25.1")


@pytest.mark.parametrize("size", [70_000, 2_000_000])
def test_private_information_in_the_meta_group(service: FlaskClient, size: int) -> None:
    """PS3.10 §7.1 permits private information of any size there."""
    whole = part10(dataset(LITTLE))
    start = whole.index(LITTLE.tag(0x00080016))
    private = LITTLE.element(0x00020100, "UI", b"2.25.7") + LITTLE.element(0x00020102, "OB", bytes(size))
    _item, metadata = check_stored(service, "v2", whole[:start] + private + whole[start:])
    assert metadata["00180015"]["Value"] == ["HEAD"]


def test_a_meta_group_over_its_limit_is_refused(service: FlaskClient) -> None:
    whole = part10(dataset(LITTLE))
    start = whole.index(LITTLE.tag(0x00080016))
    private = LITTLE.element(0x00020102, "OB", bytes(16 << 20))
    response = PartitionClient(service, "/v2/partitions/odd").store(whole[:start] + private + whole[start:])
    assert response.status_code == 409
    assert "the file meta information has more than 16777216 bytes" in response.text


ODD_FORMS = {
    "big endian that claims little endian": part10(dataset(BIG), EXPLICIT_LITTLE),
    "little endian that claims big endian": part10(dataset(LITTLE), EXPLICIT_BIG),
    "implicit that claims big endian": part10(dataset(IMPLICIT), EXPLICIT_BIG),
    "not deflated as it claims": part10(dataset(LITTLE), DEFLATED_LITTLE),
    "gzip": file_of("deflated", b"", nested=False, wrap=31),
    "a meta group in big endian": (
        bytes(128) + b"DICM" + BIG.element(0x00020010, "UI", EXPLICIT_BIG.encode() + b"\0") + dataset(BIG)
    ),
    "bytes after the pixel data": part10(
        dataset(LITTLE, image(LITTLE)) + LITTLE.element(0x7FE00010, "OW", WORDS) + b"GARBAGE!"
    ),
}


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
@pytest.mark.parametrize("form", ODD_FORMS)
def test_a_bulk_update_of_an_odd_file(clinic: PartitionClient, form: str) -> None:
    """The updated file is read as the old one is, in the same partition and after a store in another one."""
    clinic.stored(ODD_FORMS[form])
    before = clinic.get(f"{PATH}/metadata").get_json(force=True)[0]
    for name in ("New^Name", "Ñew^名"):
        done = update(clinic, "2.25.1", PatientName={"vr": "PN", "Value": [{"Alphabetic": name}]})
        assert done["status"] == "succeeded", done
        after = clinic.get(f"{PATH}/metadata").get_json(force=True)[0]
        assert after["00100010"]["Value"] == [{"Alphabetic": name}]
        changed = {tag for tag in before | after if before.get(tag) != after.get(tag)}
        assert changed <= {"00100010", "00080005"}
        other = PartitionClient(clinic.client, f"/v2/partitions/again{len(name)}")
        other.stored(clinic.get(PATH, AS_STORED).data)
        text = other.get(f"{PATH}/metadata").get_data(as_text=True)
        assert json.loads(text.replace(other.prefix, clinic.prefix))[0] == after


@pytest.mark.parametrize("code", [b"da", b"??", b"\0\0", b"  "])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_odd_header_of_a_search_attribute(service: FlaskClient, version: str, code: bytes) -> None:
    """The attribute is absent from metadata and index. It does not cost the instance, in v1 neither."""
    odd = LITTLE.short(0x00080020, code, b"20240101")
    whole = part10(dataset(LITTLE))
    start = whole.index(LITTLE.tag(0x00100020))
    item, metadata = check_stored(service, version, whole[:start] + odd + whole[start:])
    assert "00080020" not in metadata
    assert metadata["00180015"]["Value"] == ["HEAD"]
    assert ("00081196" in item) == (version == "v2")


@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
@pytest.mark.parametrize("value", [bytes(8), bytes(16), b"\2" + bytes(7)], ids=["zeros", "more zeros", "a number"])
@pytest.mark.parametrize("vr", ["SV", "UV", "OV", "OL", "OD", "OF", "OB", "OW", "UC", "UR", "UT", "UN", "SQ"])
def test_a_long_vr_with_a_length_of_16_bits(service: FlaskClient, vr: str, value: bytes, nested: bool) -> None:
    """Older releases of fo-dicom write SV and UV so. Zeros in the value are no end of the dataset."""
    odd = LITTLE.short(0x00181030, vr.encode(), value)
    _item, metadata = check_stored(service, "v2", file_of("explicit", odd, nested=nested))
    beside = metadata["00189346"]["Value"][0] if nested else metadata
    assert (beside["00180015"]["Value"], beside["00185100"]["Value"]) == (["HEAD"], ["FFS"])
