"""Files with new values for some attributes (conformance §12.6)."""

from __future__ import annotations

import struct
import warnings
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import orjson
import pydicom
import pydicom.data
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from app.dicom.editing.rewrite import NewValue, RewrittenFile, rewrite_file
from app.dicom.encoding.elements import Buffer
from app.dicom.encoding.frames import FrameTable, frame_table
from app.dicom.encoding.part10 import inflated, parse
from app.dicom.encoding.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from app.dicom.json.bulk_data import NotedElement, move_places, noted_elements
from app.dicom.json.dataset import JsonDataset, JsonElement
from app.dicom.json.model import describe
from app.errors import InvalidInstance
from tests.support import instances
from tests.support.raw_elements import EXPLICIT, IMPLICIT, SEQUENCE_END, UNDEFINED, element, implicit, item, part10

SYNTAXES = [instances.IMPLICIT_LITTLE, instances.EXPLICIT_LITTLE, instances.EXPLICIT_BIG, instances.DEFLATED_LITTLE]
NAME, ID, DESCRIPTION = 0x00100010, 0x00100020, 0x00081030
VALUES = {
    NAME: NewValue("PN", "Smith^John=大^史"),
    ID: NewValue("LO", "MRN-7"),
    0x00104000: NewValue("LT", "Odd"),
}
PLAIN = {NAME: NewValue("PN", "Smith^John"), 0x00104000: NewValue("LT", "Odd"), 0x00403001: NewValue("LO", "None")}
FILES = sorted(p for p in Path(pydicom.data.__file__).parent.rglob("*") if p.suffix in {"", ".dcm"} and p.is_file())


def edit(data: Buffer, values: dict[int, NewValue]) -> tuple[RewrittenFile, bytes]:
    new = rewrite_file(data, parse(data), values)
    return new, new.stream(data).read()


def entries(data: bytes) -> JsonDataset:
    return dict(describe(parse(data)).dataset)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_attributes_are_replaced_and_added_and_the_rest_does_not_change(syntax: str) -> None:
    data = instances.ct(rows=6, columns=6, transfer_syntax=syntax)
    new, after = edit(data, PLAIN)
    before, result = instances.read(data), instances.read(after)
    assert (str(result.PatientName), result.PatientComments) == ("Smith^John", "Odd")
    assert result[0x00403001].value == "None"
    assert list(result.keys()) == sorted(result.keys())
    for tag in PLAIN:
        before.pop(tag, None)
        del result[tag]
    assert before == result
    assert not new.converted


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_file_meta_information_has_the_writer_and_the_right_length(syntax: str) -> None:
    data = instances.ct(rows=6, columns=6, transfer_syntax=syntax)
    before, result = instances.read(data).file_meta, instances.read(edit(data, PLAIN)[1]).file_meta
    assert result.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert result.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert len(IMPLEMENTATION_CLASS_UID) <= 64
    for name in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID"):
        assert result[name] == before[name]
    after = edit(data, PLAIN)[1]
    assert parse(after).dataset_offset == 144 + result.FileMetaInformationGroupLength


def test_all_other_bytes_are_the_same() -> None:
    data = instances.ct(rows=6, columns=6)
    before, after = parse(data), edit(data, {ID: NewValue("LO", "MRN-77")})[1]
    old, new = before.get(ID), parse(after).get(ID)
    assert old is not None
    assert new is not None
    assert after[:132] == data[:132]
    assert after[parse(after).dataset_offset : new.offset - 8] == data[before.dataset_offset : old.offset - 8]
    assert after[new.offset + new.length :] == data[old.offset + old.length :]


def test_pixel_data_is_not_loaded() -> None:
    data = instances.multiframe(3, rows=64, columns=64)
    new, _ = edit(data, PLAIN)
    assert sum(len(piece) for piece in new.pieces if isinstance(piece, bytes)) < 500


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_shift_of_native_pixel_data(syntax: str) -> None:
    data = instances.make_instance(transfer_syntax=syntax, frames=2)
    for values in (PLAIN, VALUES):
        new, after = edit(data, values)
        assert new.shift
        assert frame_table(after, parse(after)) == moved(frame_table(data, parse(data)), new.shift)


def moved(table: FrameTable, shift: int) -> FrameTable:
    return replace(table, start=table.start + shift) if table.frames else table


@pytest.mark.parametrize("table", ["basic", "extended", "none"])
def test_the_shift_of_fragments(table: str) -> None:
    data = instances.encapsulated([[b"\xff\xd8one", b"more"], [b"\xff\xd8two"]], table=table)
    new, after = edit(data, VALUES)
    assert frame_table(after, parse(after)) == moved(frame_table(data, parse(data)), new.shift)
    assert after.endswith(data[data.index(b"\xe0\x7f\x10\x00") :])


def test_the_shift_is_zero_without_pixel_data() -> None:
    assert edit(instances.make_instance(pixel=False), PLAIN)[0].shift == 0


def test_an_attribute_that_the_file_repeats_is_written_once() -> None:
    data = part10(element(NAME, "PN", b"A^") + element(ID, "LO", b"1 ") + element(NAME, "PN", b"B^"))
    after = parse(edit(data, {NAME: NewValue("PN", "C^")})[1])
    assert [(each.tag, each.value) for each in after.elements] == [(NAME, b"C^"), (ID, b"1 ")]


def test_padding_after_the_last_element_remains_at_the_end() -> None:
    after = edit(part10(element(NAME, "PN", b"A^") + bytes(16)), {ID: NewValue("LO", "odd")})[1]
    assert after.endswith(element(ID, "LO", b"odd ") + bytes(16))


def test_group_lengths_are_corrected() -> None:
    group = element(NAME, "PN", b"Doe^Jane") + element(ID, "LO", b"P1")
    data = part10(element(0x00100000, "UL", struct.pack("<L", len(group))) + group + element(0x00200010, "SH", b"S1"))
    after = edit(data, {ID: NewValue("LO", "MRN-77"), 0x00101000: NewValue("LO", "X1\\X2")})[1]
    grown = element(NAME, "PN", b"Doe^Jane") + element(ID, "LO", b"MRN-77") + element(0x00101000, "LO", b"X1\\X2 ")
    start = parse(after).dataset_offset
    assert after[start:] == (
        element(0x00100000, "UL", struct.pack("<L", len(grown))) + grown + element(0x00200010, "SH", b"S1")
    )


def test_attributes_are_added_to_an_empty_dataset() -> None:
    assert entries(edit(part10(b""), {ID: NewValue("LO", "P1")})[1]) == {"00100020": {"vr": "LO", "Value": ["P1"]}}


# --- character sets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "text", "raw"),
    [
        ("ISO_IR 100", "Müller^Jörg", b"M\xfcller^J\xf6rg"),
        ("ISO_IR 144", "Люкс", None),
        ("ISO_IR 192", "大^史", "大^史".encode()),
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
        ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞", b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"),
        ("GB18030", "王^小东", "王^小东".encode("gb18030")),
    ],
)
def test_a_value_is_encoded_in_the_declared_character_set(declared: str, text: str, raw: bytes | None) -> None:
    terms = declared.split("\\")
    data = instances.make_instance(SpecificCharacterSet=terms if len(terms) > 1 else declared, PatientComments="x")
    new, after = edit(data, {NAME: NewValue("PN", text)})
    assert not new.converted
    assert instances.read(after).SpecificCharacterSet == (terms if len(terms) > 1 else declared)
    assert str(instances.read(after).PatientName) == text
    assert raw is None or parse(after).raw(NAME).rstrip() == raw


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("declared", ["ISO_IR 100", None])
def test_all_text_is_converted_to_utf_8_if_the_character_set_lacks_a_character(
    syntax: str, declared: str | None
) -> None:
    inner = Dataset()
    inner.add(DataElement(0x00080104, "LO", "Mäßig"))
    inner.add(DataElement(0x00080100, "SH", "C1"))
    other = Dataset()
    other.SpecificCharacterSet = "ISO_IR 144"
    other.add(DataElement(0x00080104, "LO", "Люкс"))
    other.add(DataElement(0x00081199, "SQ", Sequence([inner])))
    data = instances.make_instance(
        transfer_syntax=syntax,
        SpecificCharacterSet=declared,
        InstitutionName=b"H\xf4pital",
        StudyDescription="PLAIN",
        extra=[DataElement(0x00081032, "SQ", Sequence([other, Dataset()])), DataElement(0x00091001, "OB", b"\xf4\xf5")],
    )
    new, after = edit(data, VALUES)
    assert new.converted
    expected = entries(data)
    move_places(expected, new.new_offsets())
    for tag in ("00100010", "00100020", "00104000", "00080005"):
        expected.pop(tag, None)
    nested = expected["00081032"]["Value"][0]
    nested["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    found = entries(after)
    assert found.pop("00080005") == {"vr": "CS", "Value": ["ISO_IR 192"]}
    name = {"Alphabetic": "Smith^John", "Ideographic": "大^史"}
    assert found.pop("00100010") == {"vr": "PN", "Value": [name]}
    assert (found.pop("00100020"), found.pop("00104000")) == (
        {"vr": "LO", "Value": ["MRN-7"]},
        {"vr": "LT", "Value": ["Odd"]},
    )
    assert found == expected
    with_pydicom = instances.read(after)
    assert with_pydicom.InstitutionName == "Hôpital"
    assert with_pydicom[0x00081032].value[0][0x00080104].value == "Люкс"
    assert with_pydicom.PixelData == instances.read(data).PixelData


def test_ascii_text_keeps_its_bytes() -> None:
    sequence = element(0x00081032, "SQ", item(element(0x00080100, "SH", b"C1")))
    data = part10(element(0x00080005, "CS", b"ISO_IR 100") + sequence + element(ID, "LO", b"P1"))
    after = edit(data, {NAME: NewValue("PN", "大^史")})[1]
    assert sequence + element(NAME, "PN", "大^史".encode() + b" ") + element(ID, "LO", b"P1") in after


def test_a_sequence_of_vr_un_keeps_its_vr() -> None:
    inside = implicit(0x00080104, b"M\xe4\xdfig ") + implicit(0x00080100, b"C1")
    for value, length in ((item(inside), None), (item(inside, UNDEFINED) + SEQUENCE_END, UNDEFINED)):
        after = edit(part10(element(0x00081032, "UN", value, length)), {NAME: NewValue("PN", "大")})[1]
        assert entries(after)["00081032"] == {
            "vr": "SQ",
            "Value": [{"00080104": {"vr": "LO", "Value": ["Mäßig"]}, "00080100": {"vr": "SH", "Value": ["C1"]}}],
        }


def test_implicit_sequences_are_converted() -> None:
    inside = implicit(0x00080104, b"M\xe4\xdfig ")
    data = part10(implicit(0x00081032, item(inside)), IMPLICIT)
    (found,) = entries(edit(data, {NAME: NewValue("PN", "大")})[1])["00081032"]["Value"]
    assert found == {"00080104": {"vr": "LO", "Value": ["Mäßig"]}}


def test_text_too_long_to_load_is_kept_if_it_is_ascii_and_refused_otherwise() -> None:
    def long(text: bytes) -> bytes:
        return part10(element(0x0040A160, "UT", text * (1 << 20) + text))

    after = edit(long(b"ab"), {NAME: NewValue("PN", "大")})[1]
    assert after.endswith(b"ab" * 100)
    with pytest.raises(InvalidInstance, match=r"text of \(0040,a160\) is too long to be converted"):
        edit(long(b"a\xe4"), {NAME: NewValue("PN", "大")})


def test_a_value_too_long_for_the_short_form_is_written_as_un() -> None:
    data = part10(element(0x00104000, "LT", b"\xe4" * 40_000))
    after = edit(data, {NAME: NewValue("PN", "大")})[1]
    assert entries(after)["00104000"] == {"vr": "LT", "Value": ["ä" * 40_000]}


# --- real files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [PLAIN, VALUES], ids=["plain", "converting"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_of_pydicom_can_be_rewritten(path: Path, values: dict[int, NewValue]) -> None:
    data = path.read_bytes()
    try:
        before = parse(data)
    except InvalidInstance:
        pytest.skip("not an instance")
    new, after = edit(data, values)
    was, now = entries(data), entries(after)
    move_places(was, new.new_offsets())
    for tag in (*values, 0x00080005):
        was.pop(f"{tag:08X}", None)
        now.pop(f"{tag:08X}", None)
    assert was.keys() == now.keys()
    if new.converted:
        assert [places(was[tag]) for tag in was] == [places(now[tag]) for tag in now]
    else:
        assert was == now
        assert frame_table(after, parse(after)) == moved(frame_table(data, before), new.shift)
    with warnings.catch_warnings(action="ignore"):
        assert str(pydicom.dcmread(BytesIO(after)).PatientName) == values[NAME].text


def places(entry: JsonElement) -> list[NotedElement]:
    return list(noted_elements(orjson.dumps({"00080000": entry})))


def test_a_deflated_file_is_deflated_again() -> None:
    data = instances.make_instance(transfer_syntax=instances.DEFLATED_LITTLE, rows=64, columns=64, pixel=bytes(8192))
    after = edit(data, PLAIN)[1]
    assert len(after) < 1500
    assert not len(after[parse(after).dataset_offset :]) % 2
    assert inflated(after, parse(after).dataset_offset).endswith(bytes(8192))


def test_the_stream_returns_the_requested_number_of_bytes() -> None:
    data = instances.make_instance()
    new, whole = edit(data, PLAIN)
    stream = new.stream(data)
    assert b"".join(iter(lambda: stream.read(7), b"")) == whole
    assert EXPLICIT.encode() in whole
