"""One odd element never costs the instance: it stays in the file, and the others are found (conformance §3.1)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom.data
import pytest
from flask.testing import FlaskClient

from app import bootstrap, create_app
from app.settings import Settings
from tests.support.dicomweb import PartitionClient, comments, items, value
from tests.support.instances import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from tests.support.raw_elements import LONG, UNDEFINED, part10

STUDY, SERIES, INSTANCE = "2.25.1", "2.25.2", "2.25.3"
PATH = f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
AS_STORED = "application/dicom; transfer-syntax=*"
BEFORE, SEQUENCE, AFTER = 0x00180015, 0x00180012, 0x00185100


@dataclass(frozen=True)
class Writer:
    """Writes elements in one encoding."""

    explicit: bool = True
    order: str = "<"

    def tag(self, tag: int) -> bytes:
        return struct.pack(self.order + "HH", tag >> 16, tag & 0xFFFF)

    def element(self, tag: int, vr: str, content: bytes, length: int | None = None) -> bytes:
        size = len(content) if length is None else length
        if not self.explicit:
            return self.tag(tag) + struct.pack(self.order + "L", size) + content
        if vr in LONG:
            return self.tag(tag) + vr.encode() + struct.pack(self.order + "HL", 0, size) + content
        return self.short(tag, vr.encode(), content)

    def short(self, tag: int, vr: bytes, content: bytes) -> bytes:
        """An explicit element with a length of 16 bits, whatever its VR."""
        return self.tag(tag) + vr + struct.pack(self.order + "H", len(content)) + content

    def item(self, content: bytes, length: int | None = None) -> bytes:
        size = len(content) if length is None else length
        return self.tag(0xFFFEE000) + struct.pack(self.order + "L", size) + content

    def undefined(self, tag: int, vr: str, content: bytes) -> bytes:
        return self.element(tag, vr, content, UNDEFINED) + self.tag(0xFFFEE0DD) + bytes(4)

    def dataset(self, *elements: bytes) -> bytes:
        """The elements that every instance has, and others."""
        return b"".join(
            (
                self.element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
                self.element(0x00080018, "UI", INSTANCE.encode()),
                self.element(0x00100020, "LO", b"P1"),
                *elements,
                self.element(0x0020000D, "UI", STUDY.encode()),
                self.element(0x0020000E, "UI", SERIES.encode()),
            )
        )


WRITERS = {
    "implicit": (Writer(explicit=False), IMPLICIT_LITTLE),
    "explicit": (Writer(), EXPLICIT_LITTLE),
    "big endian": (Writer(order=">"), EXPLICIT_BIG),
    "deflated": (Writer(), DEFLATED_LITTLE),
}
INNER_UIDS = [(0x00080016, "UI", b"1.2.3.4\0"), (0x0020000E, "UI", b"1.2.3.5\0")]


def uids_in(writer: Writer) -> bytes:
    return writer.item(b"".join(writer.element(*each) for each in INNER_UIDS))


Oddity = Callable[[Writer], bytes]

INSIDE: dict[str, Oddity] = {
    "text under SQ": lambda w: w.element(SEQUENCE, "SQ", b"contrast agent"),
    "short text under SQ": lambda w: w.element(SEQUENCE, "SQ", b"ml"),
    "noise under SQ": lambda w: w.element(SEQUENCE, "SQ", bytes(range(1, 41))),
    "an item beyond its sequence": lambda w: w.element(SEQUENCE, "SQ", w.item(b"abcd", 400)),
    "text in an item": lambda w: w.element(SEQUENCE, "SQ", w.item(b"no elements here")),
    "an element beyond its item": lambda w: w.element(
        SEQUENCE, "SQ", w.item(w.element(0x00080100, "SH", b"abcd")[:-2])
    ),
    "an element where an item should be": lambda w: w.element(SEQUENCE, "SQ", w.element(0x00080100, "SH", b"ab")),
    "text in an item of a sequence of undefined length": lambda w: w.undefined(
        SEQUENCE, "SQ", w.item(b"") + w.item(b"no elements here")
    ),
    "command element": lambda w: w.element(0x00000100, "US", b"\1\0"),
    "file meta element": lambda w: w.element(0x00020016, "AE", b"SENDER"),
}
"""Oddities that give a warning in v2."""
HARMLESS: dict[str, Oddity] = {
    "UN with implicit items": lambda w: w.element(
        0x00191010, "UN", uids_in(Writer(explicit=False)) + b"\xfe\xff\xdd\xe0\0\0\0\0", UNDEFINED
    ),
    "fragments in UN": lambda w: w.undefined(0x00191010, "UN", w.item(b"") + w.item(bytes(range(1, 41)))),
    "delimiters with lengths": lambda w: w.element(
        SEQUENCE,
        "SQ",
        w.item(b"", UNDEFINED) + w.tag(0xFFFEE00D) + b"abcd" + w.tag(0xFFFEE0DD) + b"abcd",
        UNDEFINED,
    ),
    "text of undefined length": lambda w: w.undefined(0x00181030, "UT", w.item(b"ab")),
    "UN with items in the form of the dataset": lambda w: w.undefined(0x00191010, "UN", uids_in(w)),
    "UN with items, the first one empty": lambda w: w.undefined(0x00191010, "UN", w.item(b"") + uids_in(w)),
    "SQ with items in the form of the dataset": lambda w: w.undefined(SEQUENCE, "SQ", uids_in(w)),
    "odd length": lambda w: w.element(0x00181030, "LO", b"abc"),
    "odd length of a number": lambda w: w.element(0x00181271, "FD", b"abc"),
    "zeros after the items": lambda w: w.element(SEQUENCE, "SQ", uids_in(w) + bytes(24)),
}
HEADERS: dict[str, Oddity] = {
    "VR in lower case": lambda w: w.short(0x00181030, b"lo", b"abcd"),
    "VR of zeros": lambda w: w.short(0x00181030, b"\0\0", b"abcd"),
    "VR of blanks": lambda w: w.short(0x00181030, b"  ", b"abcd"),
    "VR of symbols": lambda w: w.short(0x00181030, b"--", b"abcdef"),
    "VR of high bytes": lambda w: w.short(0x00181030, b"\xff\xfe", b"abcd"),
    "VR of one capital": lambda w: w.short(0x00181030, b"L\0", b""),
    "two VRs in lower case": lambda w: w.short(0x00181030, b"lo", b"abcd") + w.short(0x00181063, b"ds", b"12"),
    "a private VR in lower case": lambda w: w.short(0x00191011, b"lo", b"abcd"),
    "UT in short form": lambda w: w.short(0x00181030, b"UT", b"abcd"),
    "OB in short form": lambda w: w.short(0x00181030, b"OB", b"abcdefgh"),
    "UN in short form": lambda w: w.short(0x00191011, b"UN", b"ab"),
    "UT in short form, empty": lambda w: w.short(0x00181030, b"UT", b""),
    "SQ in short form": lambda w: w.short(SEQUENCE, b"SQ", uids_in(w)),
}
"""Oddities of headers. Only explicit encodings have them."""
PADDING = {
    "a zero": b"\0", "zeros": bytes(100), "FF": b"\xff", "FFs": b"\xff" * 40, "blanks": b" " * 20,
    "a line end": b"\r\n",
}  # fmt: skip


def file_of(name: str, odd: bytes, *, nested: bool, wrap: int = -15, after: bytes = b"") -> bytes:
    """A file with an odd element between two good ones, at the top level or in an item."""
    writer, syntax = WRITERS[name]
    good = writer.element(BEFORE, "CS", b"HEAD") + odd + writer.element(AFTER, "CS", b"FFS ")
    if nested:
        good = writer.element(0x00189346, "SQ", writer.item(good))
    dataset = writer.dataset(good) + after
    if syntax == DEFLATED_LITTLE:
        stream = zlib.compressobj(wbits=wrap)
        dataset = stream.compress(dataset) + stream.flush()
    return part10(dataset, syntax)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """One embedded archive. Each test deletes what it stores."""
    chosen = Settings(data_dir=tmp_path_factory.mktemp("archive"), log_level="error")
    bootstrap.initialise(chosen)
    return create_app(chosen, bootstrap.build_engine(chosen)).test_client()


def check_stored(service: FlaskClient, version: str, file: bytes, stored: bytes = b"") -> tuple[Any, dict[str, Any]]:
    """Assert that a file is stored byte for byte. Return the item of the report and the metadata."""
    clinic = PartitionClient(service, f"/{version}/partitions/odd")
    report = clinic.stored(file)
    assert clinic.get(PATH, AS_STORED).data == (stored or file)
    assert clinic.get(PATH).status_code in (200, 406)
    (metadata,) = clinic.get(f"{PATH}/metadata").get_json(force=True)
    assert clinic.delete(f"/studies/{STUDY}").status_code == 204
    (item,) = items(report, "00081199")
    return item, metadata


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
@pytest.mark.parametrize("encoding", WRITERS)
@pytest.mark.parametrize("oddity", INSIDE | HARMLESS | HEADERS)
def test_an_odd_element_never_costs_the_instance(
    service: FlaskClient, encoding: str, nested: bool, oddity: str, version: str
) -> None:
    writer, _syntax = WRITERS[encoding]
    if oddity in HEADERS and not writer.explicit:
        return  # its headers have no VR
    odd = (INSIDE | HARMLESS | HEADERS)[oddity](writer)
    item, metadata = check_stored(service, version, file_of(encoding, odd, nested=nested))
    assert (metadata["0020000E"]["Value"], metadata["00080018"]["Value"]) == ([SERIES], [INSTANCE])
    beside = metadata["00189346"]["Value"][0] if nested else metadata
    assert (beside["00180015"]["Value"], beside["00185100"]["Value"]) == (["HEAD"], ["FFS"])
    if oddity in INSIDE and "item" not in oddity:
        tag = f"{SEQUENCE:08X}"
        assert beside.get(tag, {"vr": "UN"})["vr"] == "UN"
        assert tag not in beside or (nested and version == "v2")
        assert not {"00000100", "00020016"} & beside.keys()
    if version == "v2" and oddity in INSIDE:
        assert value(item, "00081196") == (45063 if encoding == "implicit" else 1)
        assert any("The " in each for each in comments(item))


@pytest.mark.parametrize("encoding", WRITERS)
@pytest.mark.parametrize("padding", PADDING)
def test_padding_after_the_dataset(service: FlaskClient, encoding: str, padding: str) -> None:
    file = file_of(encoding, b"", nested=False, after=PADDING[padding])
    item, metadata = check_stored(service, "v2", file)
    assert metadata["0020000E"]["Value"] == [SERIES]
    assert ("00081196" in item) == (encoding == "implicit")


@pytest.mark.parametrize("encoding", WRITERS)
@pytest.mark.parametrize("padding", PADDING)
def test_padding_within_an_item(service: FlaskClient, encoding: str, padding: str) -> None:
    """Zeros are padding. Other bytes make the sequence opaque, the innermost one alone."""
    writer, _syntax = WRITERS[encoding]
    inside = writer.item(writer.element(0x00080100, "SH", b"code") + PADDING[padding])
    odd = writer.element(SEQUENCE, "SQ", inside)
    _item, metadata = check_stored(service, "v2", file_of(encoding, odd, nested=True))
    beside = metadata["00189346"]["Value"][0]
    assert beside["00185100"]["Value"] == ["FFS"]
    assert beside["00180012"]["vr"] == ("SQ" if "zero" in padding else "UN")


@pytest.mark.parametrize("wrap", [-15, 15, -9], ids=["raw", "zlib", "small window"])
def test_a_deflated_dataset_with_a_zlib_wrapper(service: FlaskClient, wrap: int) -> None:
    _item, metadata = check_stored(service, "v2", file_of("deflated", b"", nested=False, wrap=wrap))
    assert metadata["00180015"]["Value"] == ["HEAD"]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("encoding", ["implicit", "explicit", "big endian"])
def test_a_dataset_without_preamble_and_file_meta_information(
    service: FlaskClient, encoding: str, version: str
) -> None:
    writer, syntax = WRITERS[encoding]
    dataset = writer.dataset(writer.element(BEFORE, "CS", b"HEAD"))
    clinic = PartitionClient(service, f"/{version}/partitions/odd")
    clinic.stored(dataset)
    answer = clinic.get(PATH, AS_STORED)
    assert answer.headers["Content-Type"] == f"application/dicom; transfer-syntax={syntax}"
    assert answer.data.startswith(bytes(128) + b"DICM\2\0\0\0UL")
    assert answer.data.endswith(dataset)
    read = pydicom.dcmread(BytesIO(answer.data))
    assert (read.file_meta.MediaStorageSOPInstanceUID, read.SeriesInstanceUID) == (INSTANCE, SERIES)
    assert clinic.get(f"{PATH}/metadata").get_json(force=True)[0]["00180015"]["Value"] == ["HEAD"]
    clinic.delete(f"/studies/{STUDY}")


@pytest.mark.parametrize("missing", [128, 132], ids=["preamble", "preamble and DICM"])
@pytest.mark.parametrize("encoding", WRITERS)
def test_a_file_without_preamble(service: FlaskClient, encoding: str, missing: int) -> None:
    whole = file_of(encoding, b"", nested=False)
    check_stored(service, "v2", whole[missing:], whole)


def test_no_transfer_syntax_in_the_file_meta_information(service: FlaskClient) -> None:
    for encoding in ("implicit", "explicit", "big endian"):
        whole = file_of(encoding, b"", nested=False)
        writer, _syntax = WRITERS[encoding]
        start = whole.index(writer.tag(0x00080016))
        without = whole[:132] + Writer().element(0x00020003, "UI", b"2.25.3") + whole[start:]
        check_stored(service, "v2", without)


FILES = Path(pydicom.data.__file__).parent / "test_files"


@pytest.mark.parametrize("name", ["no_meta.dcm", "rtstruct.dcm"])
def test_files_of_pydicom_without_file_meta_information(service: FlaskClient, name: str) -> None:
    data = (FILES / name).read_bytes()
    clinic = PartitionClient(service, "/v2/partitions/pydicom")
    (item,) = items(clinic.stored(data), "00081199")
    path = value(item, "00081190").partition("/pydicom")[2]
    answer = clinic.get(path, AS_STORED)
    assert answer.data.endswith(data)
    assert pydicom.dcmread(BytesIO(answer.data)).SOPInstanceUID == value(item, "00081155")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_refusal_names_the_rule_and_the_uids(service: FlaskClient, version: str) -> None:
    writer = Writer()
    endless = writer.element(0x00301000, "SQ", b"", UNDEFINED)
    clinic = PartitionClient(service, f"/{version}/partitions/odd")
    response = clinic.store(part10(writer.dataset() + endless))
    assert response.status_code == 409
    (failed,) = items(response.get_json(force=True), "00081198")
    assert (value(failed, "00081197"), value(failed, "00081155")) == (43264, INSTANCE)
    assert value(failed, "00081150") == "1.2.840.10008.5.1.4.1.1.7"
    assert "the sequence is cut short" in comments(failed)[0]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    "body, rule",
    [
        (b"junk", "it is not a DICOM Part 10 file"),
        (part10(Writer().dataset())[:-3], "runs past the end of its dataset"),
    ],
)
def test_a_refusal_of_an_unreadable_file(service: FlaskClient, version: str, body: bytes, rule: str) -> None:
    clinic = PartitionClient(service, f"/{version}/partitions/odd")
    (failed,) = items(clinic.store(body).get_json(force=True), "00081198")
    assert rule in comments(failed)[0]
    assert ("00081155" in failed) == (body != b"junk")
