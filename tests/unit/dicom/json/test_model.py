"""The DICOM JSON model of files, and the problems in their values (PS3.18 Annex F)."""

from __future__ import annotations

import struct
from typing import Any

import orjson
import pytest

from app.dicom.encoding.part10 import Part10, parse
from app.dicom.encoding.vr import BULK
from app.dicom.json import model
from app.dicom.json.dataset import JsonDataset, person_name
from app.dicom.json.model import describe, first_text
from app.errors import InvalidInstance
from tests.support import instances
from tests.support.raw_elements import IMPLICIT, element, implicit, item, part10

CHARSET = 0x00080005


def dataset_json(part10: Part10) -> JsonDataset:
    return describe(part10).dataset


def entry(tag: int, vr: str, value: bytes) -> dict[str, Any]:
    return dataset_json(parse(part10(element(tag, vr, value))))[f"{tag:08X}"]


@pytest.mark.parametrize(
    "vr, raw, values",
    [
        ("AE", b" STORE ", ["STORE"]),
        ("AS", b"030Y", ["030Y"]),
        ("AT", b"\x10\x00\x20\x00\xe0\x7f\x10\x00", ["00100020", "7FE00010"]),
        ("CS", b"ORIGINAL\\PRIMARY ", ["ORIGINAL", "PRIMARY"]),
        ("DA", b"20240115", ["20240115"]),
        ("DS", b"1.5\\-2 \\1e3\\.5", [1.5, -2, 1000.0, 0.5]),
        ("DS", b"abc\\1_0\\nan\\1e999\\Infinity", ["abc", "1_0", "nan", "1e999", "Infinity"]),
        ("DS", b"9" * 19 + b"\\" + b"9" * 40, [9999999999999999999, 1e40]),
        ("DS", b"99999999999999999999", ["99999999999999999999"]),
        ("DT", b"20240115101500.5+0100", ["20240115101500.5+0100"]),
        ("FL", struct.pack("<2f", 0.5, float("nan")), [0.5, "NaN"]),
        ("FD", struct.pack("<3d", 0.1, float("inf"), float("-inf")), [0.1, "Infinity", "-Infinity"]),
        ("IS", b"12\\ -3 \\+4\\1.5\\x", [12, -3, 4, "1.5", "x"]),
        ("IS", b"7\0", [7]),
        ("LO", b" a\\\\b  ", [" a", None, "b"]),
        ("LO", b"P1\0\0", ["P1\0\0"]),
        ("LT", b"one\\two\r\n ", ["one\\two\r\n"]),
        (
            "PN",
            b"Doe^Jane=\\=X==\\A=B=C ",
            [
                {"Alphabetic": "Doe^Jane"},
                {"Ideographic": "X"},
                {"Alphabetic": "A", "Ideographic": "B", "Phonetic": "C"},
            ],
        ),
        ("SH", b"x", ["x"]),
        ("SL", struct.pack("<2i", -1, 2), [-1, 2]),
        ("SS", struct.pack("<h", -5), [-5]),
        ("ST", b"a\\b", ["a\\b"]),
        ("SV", struct.pack("<q", -(2**63)), [-(2**63)]),
        ("TM", b"101530.5", ["101530.5"]),
        ("UC", b"a\\b", ["a", "b"]),
        ("UI", b"1.2\0", ["1.2"]),
        ("UI", b"1.2 \0\\1.3", ["1.2", "1.3"]),
        ("UL", struct.pack("<I", 2**32 - 1), [2**32 - 1]),
        ("UR", b"http://x/\\y ", ["http://x/\\y"]),
        ("US", struct.pack("<2H", 1, 65535), [1, 65535]),
        ("UT", b"text", ["text"]),
        ("UV", struct.pack("<Q", 2**64 - 1), [2**64 - 1]),
    ],
)
def test_values_by_vr(vr: str, raw: bytes, values: list[Any]) -> None:
    found = entry(0x00091001, vr, raw)
    assert found == {"vr": vr, "Value": values}
    assert orjson.loads(orjson.dumps(found)) == found


@pytest.mark.parametrize("vr", ["AE", "AT", "CS", "DA", "DS", "FD", "IS", "LO", "LT", "PN", "SQ", "UI", "UR", "US"])
def test_empty_values_have_no_value(vr: str) -> None:
    assert entry(0x00091001, vr, b"") == {"vr": vr}
    if vr in {"AE", "CS", "DS", "IS", "LO", "LT", "PN", "UI", "UR"}:
        assert entry(0x00091001, vr, b"  ") == {"vr": vr}


def test_group_lengths_are_left_out_at_every_depth_and_bulk_data_has_its_place() -> None:
    bulk = [element(0x00091001 + n, vr, bytes(8)) for n, vr in enumerate(sorted(BULK))]
    inner = element(0x00080000, "UL", bytes(4)) + b"".join(bulk) + element(0x00100020, "LO", b"P1")
    file = part10(inner + element(0x00081140, "SQ", item(inner)))

    def expected(path: str, start: int) -> dict[str, Any]:
        """The first value begins after a group length of 12 bytes and a header of 12 bytes."""
        return {
            f"{0x00091001 + n:08X}": {
                "vr": vr,
                "BulkDataURI": f"{path}{0x00091001 + n:08X}?{start + 24 + n * len(bulk[0])},8",
            }
            for n, vr in enumerate(sorted(BULK))
        } | {"00100020": {"vr": "LO", "Value": ["P1"]}}

    top, nested = file.index(inner), file.rindex(inner)
    items = [expected("00081140/0/", nested)]
    assert dataset_json(parse(file)) == expected("", top) | {"00081140": {"vr": "SQ", "Value": items}}


def test_file_meta_information_is_not_part_of_it() -> None:
    assert not any(key.startswith("0002") for key in dataset_json(parse(instances.make_instance())))


def test_private_attributes_of_implicit_files_are_binary() -> None:
    data = part10(implicit(0x00090010, b"ACME") + implicit(0x00091001, b"xx") + implicit(0x00100020, b"P1"), IMPLICIT)
    dataset = describe(parse(data), data=data).dataset
    assert dataset.pop("00091001") == {"vr": "UN", "InlineBinary": "eHg="}
    assert set(dataset) == {"00090010", "00100020"}


@pytest.mark.parametrize(
    "declared, raw, text",
    [
        (b"", "Müller".encode("latin-1"), "Müller"),
        (b"ISO_IR 100", "Müller".encode("latin-1"), "Müller"),
        (b"ISO-IR 100", "Müller".encode("latin-1"), "Müller"),
        (b"ISO_IR 192", "Müller 山田".encode(), "Müller 山田"),
        (b"ISO_IR 192", b"bad \xff\xed\xa0\x80", "bad \ufffd\ufffd\ufffd\ufffd"),
        (b"ISO_IR 144", "Ждём".encode("iso8859_5"), "Ждём"),
        (b"ISO_IR 13", b"\xd4\xcf\xc0\xde", "ﾔﾏﾀﾞ"),
        (b"GB18030", "王\\小东".encode("gb18030"), "王\\小东"),
        (b"NONSENSE", b"\xe9", "é"),
        (b"\\ISO 2022 IR 87", b"Yamada \x1b$B;3ED\x1b(B x", "Yamada 山田 x"),
        (b"\\ISO 2022 IR 149", b"\x1b$)C\xb1\xe8 \x1b(Bx", "김 x"),
        (b"ISO 2022 IR 6\\ISO 2022 IR 126", b"a \x1b-F\xc4\xe9\rb\xe9", "a Δι\rbé"),
        (b"\\ISO 2022 IR 87", b"\x1b-Z\xe9", "\x1b-Zé"),
    ],
)
def test_character_sets(declared: bytes, raw: bytes, text: str) -> None:
    data = part10(element(CHARSET, "CS", declared) + element(0x00104000, "LT", raw))
    assert dataset_json(parse(data))["00104000"]["Value"] == [text]


def test_multi_byte_characters_may_contain_the_byte_of_a_backslash() -> None:
    data = part10(element(CHARSET, "CS", b"GB18030") + element(0x00100020, "LO", "俓\\x".encode("gb18030")))
    assert b"\\\\" in "俓\\x".encode("gb18030")
    assert dataset_json(parse(data))["00100020"]["Value"] == ["俓", "x"]


@pytest.mark.parametrize(("tag", "vr", "text"), [(0x00104000, "LT", "김\\김"), (0x00100020, "LO", "김\\±è")])
def test_a_backslash_ends_a_value_and_its_character_set_except_in_vrs_of_one_value(
    tag: int, vr: str, text: str
) -> None:
    raw = b"\x1b$)C\xb1\xe8\\\xb1\xe8"
    data = part10(element(CHARSET, "CS", b"\\ISO 2022 IR 149") + element(tag, vr, raw + b" " * (len(raw) % 2)))
    assert "\\".join(dataset_json(parse(data))[f"{tag:08X}"]["Value"]) == text


def test_delimiters_within_a_name_make_the_first_set_active_again() -> None:
    name = b"\x1b-F\xc4^\xe9=\xe9"
    data = part10(element(CHARSET, "CS", b"ISO 2022 IR 100\\ISO 2022 IR 126") + element(0x00100010, "PN", name))
    assert dataset_json(parse(data))["00100010"]["Value"] == [{"Alphabetic": "Δ^é", "Ideographic": "é"}]


def test_items_may_declare_their_own_character_set() -> None:
    inner = element(CHARSET, "CS", b"ISO_IR 192") + element(0x00080104, "LO", "é".encode())
    outer = element(CHARSET, "CS", b"ISO_IR 100") + element(0x00081140, "SQ", item(inner) + item(inner[18:]))
    found = dataset_json(parse(part10(outer + element(0x00100020, "LO", b"\xe9"))))
    assert [each["00080104"]["Value"] for each in found["00081140"]["Value"]] == [["é"], ["Ã©"]]
    assert found["00100020"]["Value"] == ["é"]


def test_big_endian_numbers() -> None:
    found = dataset_json(parse(instances.make_instance(rows=3, columns=5, transfer_syntax=instances.EXPLICIT_BIG)))
    assert (found["00280010"]["Value"], found["00280011"]["Value"]) == ([3], [5])


def test_first_text() -> None:
    found = dataset_json(parse(instances.make_instance(PatientName="A^B=C", PatientID=None, InstanceNumber="7")))
    assert first_text(found, 0x00100010) == "A^B=C"
    assert first_text(found, 0x00200013) == "7"
    assert first_text(found, 0x00100020) is None
    assert person_name({"Phonetic": "x"}) == "==x"


def test_a_valid_instance_has_no_problems() -> None:
    for syntax in (instances.IMPLICIT_LITTLE, instances.EXPLICIT_LITTLE, instances.EXPLICIT_BIG):
        assert describe(parse(instances.ct(rows=4, columns=4, transfer_syntax=syntax))).problems == ()


def test_problems_have_tag_rule_and_place() -> None:
    bad = element(0x00080020, "DA", b"2O240101")
    nested = element(0x00081140, "SQ", item(bad + element(0x00100040, "CS", b"f ")))
    good = element(0x00080020, "DA", b"20240115")
    text = 'Content "2O240101" does not validate VR DA: one of the date values does not match the pattern YYYYMMDD'
    for dataset, flags in ((good + nested, [True, True]), (bad + nested, [False, True]), (nested + bad, [False, True])):
        problems = sorted(describe(parse(part10(dataset))).problems, key=lambda problem: problem.tag)
        assert [(p.tag, p.keyword, p.vr, p.nested) for p in problems] == [
            (0x00080020, "StudyDate", "DA", flags[0]),
            (0x00100040, "PatientSex", "CS", flags[1]),
        ]
        assert problems[0].text == text


def test_every_value_is_checked_and_the_first_invalid_one_is_in_the_message() -> None:
    (problem,) = describe(parse(part10(element(0x00280030, "DS", b"0.5\\x\\y")))).problems
    assert problem.text == 'Content "x" does not validate VR DS: value is no decimal string'


def test_an_incomplete_number_is_a_problem() -> None:
    description = describe(parse(part10(element(0x00280010, "US", b"\1\0\2"))))
    assert description.dataset["00280010"]["Value"] == [1]
    assert description.problems[0].text.endswith("does not validate VR US: value length is not a multiple of 2 bytes")


def test_the_numbers_of_values_and_of_texts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "MAX_VALUES", 1000)
    for many in (element(0x00280010, "US", bytes(60)) * 40, element(0x00091001, "LO", b"\\" * 2000)):
        for dataset in (many, element(0x00081140, "SQ", item(many))):
            with pytest.raises(InvalidInstance, match="more than 1000 values"):
                describe(parse(part10(dataset)))
    monkeypatch.setattr(model, "MAX_PROBLEMS", 10)
    problems = describe(parse(part10(b"".join(element(0x00091001 + n, "AS", b"x") for n in range(12))))).problems
    assert [bool(problem.text) for problem in problems] == [True] * 10 + [False] * 2


def test_the_deepest_dataset_can_be_written_as_json() -> None:
    dataset = element(0x00100020, "LO", b"P1")
    for _ in range(64):
        dataset = element(0x00081140, "SQ", item(dataset))
    assert orjson.dumps([dataset_json(parse(part10(dataset)))])
