"""Required attributes and the rules for values that the index holds (conformance §3.5)."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from app.dicom.encoding.part10 import parse
from app.dicom.encoding.vr import keyword
from app.dicom.validation.instance_rules import REQUIRED, check_indexed, check_required
from app.errors import IDENTIFIER_RULE
from tests.support import instances
from tests.support.raw_elements import element, part10

LONGER = "Value length exceeds maximum length of {}."
LONGER_BRIEF = "Value length exceeds maximum length."
LENGTH_BRIEF = "Value length is not expected."
CHARACTER = "Value contains invalid character."

BROKEN = [
    ("AE", b"x" * 17, LONGER.format(16), LONGER_BRIEF),
    ("AS", b"30Y", "Value length is not 4.", LENGTH_BRIEF),
    ("CS", b"x" * 17, LONGER.format(16), LONGER_BRIEF),
    ("DA", b"20230229", *["Value cannot be parsed as a valid date."] * 2),
    ("DA", b"2O240101", *["Value cannot be parsed as a valid date."] * 2),
    ("DT", b"20240115x", *["Value cannot be parsed as a valid DateTime."] * 2),
    ("FD", b"", "Value length is not 8.", LENGTH_BRIEF),
    ("FL", bytes(3), "Value length is not 4.", LENGTH_BRIEF),
    ("IS", b"1.5", *["Value cannot be parsed as a valid integer string."] * 2),
    ("LO", b"x" * 65, LONGER.format(64), LONGER_BRIEF),
    ("LO", b"a\0b", CHARACTER, CHARACTER),
    ("PN", b"a=b=c=d", *["Value contains more than 3 groups."] * 2),
    ("PN", b"x" * 65, LONGER.format(64), LONGER_BRIEF),
    ("PN", b"a^b^c^d^e^f", *["Value contains more than 5 components."] * 2),
    ("PN", b"a\nb", CHARACTER, CHARACTER),
    ("SH", b"x" * 17, LONGER.format(16), LONGER_BRIEF),
    ("SL", b"", "Value length is not 4.", LENGTH_BRIEF),
    ("SS", b"", "Value length is not 2.", LENGTH_BRIEF),
    ("TM", b"2500", *["Value cannot be parsed as a valid Time."] * 2),
    ("UI", b"1.2.a", IDENTIFIER_RULE, IDENTIFIER_RULE),
    ("UL", bytes(2), "Value length is not 4.", LENGTH_BRIEF),
    ("US", b"", "Value length is not 2.", LENGTH_BRIEF),
]
SOUND = [
    ("AE", b"x" * 16), ("AS", b"030Y"), ("CS", b"lower case is ok"), ("DA", b"20240229"), ("DT", b"20240115101500"),
    ("FD", bytes(8)), ("FL", bytes(8)), ("IS", b" 12 "), ("LO", b"a\x1bb"), ("PN", b"a^b^c^d^e=f=g"), ("SH", b"x" * 16),
    ("SL", bytes(4)), ("SS", bytes(2)), ("TM", b"101530.5"), ("UI", b"1.02..3 \0"), ("UL", bytes(4)), ("US", bytes(4)),
    ("LO", b"ok\\" + b"x" * 99), ("DA", b"20240229\\nonsense"),
    *[(vr, b"") for vr in ("AE", "AS", "CS", "DA", "DT", "IS", "LO", "PN", "SH", "TM", "UI")],
]  # fmt: skip


def problems(vr: str, raw: bytes, *, lenient: bool) -> list[Any]:
    return check_indexed(parse(part10(element(0x00091001, vr, raw))), {0x00091001: vr}, lenient=lenient)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("vr, raw, reason, brief", BROKEN)
def test_broken_element_rules(vr: str, raw: bytes, reason: str, brief: str, lenient: bool) -> None:
    (problem,) = problems(vr, raw, lenient=lenient)
    assert problem.text == f"Dicom element '00091001' failed validation for VR '{vr}': {reason}"
    assert (problem.tag, problem.vr, problem.brief, problem.nested) == (0x00091001, vr, brief, False)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("vr, raw", SOUND)
def test_valid_elements(vr: str, raw: bytes, lenient: bool) -> None:
    assert problems(vr, raw, lenient=lenient) == []


@pytest.mark.parametrize("vr, raw", [("LO", b"P1\0"), ("PN", b"Doe\0\0"), ("DA", b"20240115\0\0"), ("AS", b"030Y\0\0")])
def test_trailing_nuls_break_the_strict_rules_only(vr: str, raw: bytes) -> None:
    assert len(problems(vr, raw, lenient=False)) == 1
    assert problems(vr, raw, lenient=True) == []


def test_the_message_has_the_keyword() -> None:
    (problem,) = check_indexed(parse(instances.make_instance(patient_id="a\0b")), {0x00100020: "LO"}, lenient=False)
    assert problem.text == "Dicom element 'PatientID' failed validation for VR 'LO': Value contains invalid character."


def test_lengths_count_characters_not_bytes() -> None:
    data = instances.make_instance(SpecificCharacterSet="ISO_IR 192", patient_id="é" * 64)
    assert check_indexed(parse(data), {0x00100020: "LO"}, lenient=False) == []


def test_another_vr_than_expected_is_a_problem() -> None:
    (problem,) = check_indexed(parse(part10(element(0x00091001, "SH", b"x"))), {0x00091001: "LO"}, lenient=True)
    assert problem.brief == "The extended query tag VR is not expected."


def test_absent_attributes_are_no_problems() -> None:
    assert check_indexed(parse(part10(b"")), {0x00100020: "LO"}, lenient=False) == []


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("tag", REQUIRED)
def test_missing_required_attributes(tag: int, lenient: bool) -> None:
    found = check_required(parse(instances.make_instance(**{keyword(tag): None})), lenient=lenient)
    text = f"The required tag '({tag >> 16:04x},{tag & 0xFFFF:04x})' is missing."
    assert [problem.text for problem in found.failures] == [text]
    assert found.warnings == ()


@pytest.mark.parametrize("raw", [b"", b"  ", b"\0\0"])
@pytest.mark.parametrize("tag", REQUIRED)
def test_empty_required_attributes_are_failures_except_a_lenient_patient_id(tag: int, raw: bytes) -> None:
    instance = parse(instances.make_instance(**{keyword(tag): raw}))
    assert [problem.tag for problem in check_required(instance, lenient=False).failures] == [tag]
    found = check_required(instance, lenient=True)
    assert [problem.tag for problem in (found.warnings if tag == 0x00100020 else found.failures)] == [tag]


@pytest.mark.parametrize("tag", REQUIRED)
def test_several_values_of_required_attributes_are_failures_except_a_lenient_patient_id(tag: int) -> None:
    instance = parse(instances.make_instance(**{keyword(tag): b"1.2\\1.3"}))
    assert len(check_required(instance, lenient=False).failures) == 1
    assert len(check_required(instance, lenient=True).failures) == (0 if tag == 0x00100020 else 1)


def test_a_complete_instance_has_no_problems() -> None:
    assert check_required(parse(instances.make_instance()), lenient=False) == ((), ())
    assert check_indexed(parse(instances.make_instance()), REQUIRED, lenient=False) == []


def test_numbers_with_several_values_are_valid() -> None:
    assert problems("US", struct.pack("<2H", 1, 2), lenient=False) == []
