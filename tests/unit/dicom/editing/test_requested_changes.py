"""The changes that a bulk update requests: permitted attributes and the checks of their values (conformance §12.2)."""

from __future__ import annotations

from typing import Any

import pytest

from app.dicom.editing.requested_changes import ALLOWED, EMPTY, REPEATED, UNSUPPORTED, read_changes
from app.dicom.editing.rewrite import NewValue


def refused(dataset: dict[str, Any]) -> list[tuple[int, str]]:
    found = read_changes(dataset)
    assert not found.elements
    return [tuple(each) for each in found.refused]  # type: ignore[misc]


def test_36_attributes_are_permitted() -> None:
    assert len(ALLOWED) == 36
    assert not [tag for tag in ALLOWED if tag >> 16 & 1]
    assert {rule.vr for rule in ALLOWED.values()} == {"AS", "CS", "DA", "DS", "LO", "LT", "PN", "SH", "TM"}


@pytest.mark.parametrize(
    ("name", "element", "text", "entry"),
    [
        (
            "00100010",
            {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane", "Phonetic": "x"}]},
            "Doe^Jane==x",
            {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane", "Phonetic": "x"}]},
        ),
        ("00100010", {"vr": "PN", "Value": [{"Ideographic": "大^史", "Phonetic": None}]}, "=大^史", None),
        ("PatientID", {"Value": ["MRN-7"]}, "MRN-7", {"vr": "LO", "Value": ["MRN-7"]}),
        ("00101000", {"vr": "LO", "Value": ["A", "B"]}, "A\\B", None),
        ("00101020", {"vr": "DS", "Value": [1.75]}, "1.75", None),
        ("00101020", {"vr": "DS", "Value": ["1.750"]}, "1.750", {"vr": "DS", "Value": [1.75]}),
        ("00101030", {"vr": "DS", "Value": [70]}, "70", None),
        (
            "00101030",
            {"vr": "DS", "Value": [154 / 2.2046]},
            "69.8539417581421",
            {"vr": "DS", "Value": [69.8539417581421]},
        ),
        ("00104000", {"vr": "LT", "Value": ["C:\\temp\r\nnext"]}, "C:\\temp\r\nnext", None),
        ("00100032", {"vr": "TM", "Value": ["1230"]}, "1230", None),
        ("00101010", {"vr": "AS", "Value": ["044Y"]}, "044Y", None),
    ],
)
def test_valid_values(name: str, element: dict[str, Any], text: str, entry: dict[str, Any] | None) -> None:
    found = read_changes({name: element})
    ((tag, new),) = found.values.items()
    assert new == NewValue(ALLOWED[tag].vr, text)
    element = {**element, "Value": [_without_none(each) for each in element["Value"]]}
    assert found.elements == {f"{tag:08X}": entry or element}
    assert not found.refused


def _without_none(value: Any) -> Any:
    return {name: each for name, each in value.items() if each} if isinstance(value, dict) else value


def test_the_elements_of_the_result_can_be_read_again() -> None:
    """The operation keeps the elements, and each step reads them."""
    dataset = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
        "00101020": {"vr": "DS", "Value": ["1.750"]},
        "00101030": {"vr": "DS", "Value": [".123456789012345"]},
        "00104000": {"vr": "LT", "Value": ["Trailing  "]},
    }
    once = read_changes(dataset)
    assert read_changes(once.elements).elements == once.elements


@pytest.mark.parametrize("name", ["00080018", "0020000d", "StudyDate", "00091001", "00081140", "00100000"])
def test_other_attributes_are_refused(name: str) -> None:
    ((_, reason),) = refused({name: {"vr": "LO", "Value": ["x"]}})
    assert reason == UNSUPPORTED


def test_an_attribute_with_two_names_is_refused() -> None:
    element = {"vr": "LO", "Value": ["x"]}
    assert refused({"PatientID": element, "00100020": element}) == [(0x00100020, REPEATED)]


@pytest.mark.parametrize("name", ["", "0010002", "001000200", "Patient", "00100O20", "٠٠١٠٠٠٢٠"])
def test_a_key_that_is_not_a_tag_raises(name: str) -> None:
    with pytest.raises(ValueError, match=name or "^$"):
        read_changes({name: {}})


@pytest.mark.parametrize(
    "element",
    [
        {"vr": "LO"},
        {"vr": "LO", "Value": None},
        {"vr": "LO", "Value": []},
        {"vr": "LO", "Value": [None]},
        {"vr": "LO", "Value": [""]},
        {"vr": "LO", "Value": ["  "]},
        {"vr": "LO", "Value": ["\0"]},
        {"vr": "LO", "Value": ["A", None]},
        {"vr": "LO", "InlineBinary": "AAAA"},
    ],
)
def test_empty_values_are_refused(element: dict[str, Any]) -> None:
    assert refused({"00101000": element}) == [(0x00101000, EMPTY)]


@pytest.mark.parametrize(
    ("tag", "element", "reason"),
    [
        (0x00100020, 5, "is not an object"),
        (0x00100020, {"vr": "SH", "Value": ["x"]}, "is expected to be 'LO' but is 'SH'"),
        (0x00100020, {"vr": ["LO"], "Value": ["x"]}, "is expected to be 'LO'"),
        (0x00100020, {"vr": "LO", "Value": "x"}, "is not an array"),
        (0x00100020, {"vr": "LO", "Value": [5]}, "not of the JSON type"),
        (0x00100020, {"vr": "LO", "Value": [{"Alphabetic": "x"}]}, "not of the JSON type"),
        (0x00100010, {"vr": "PN", "Value": ["Doe^Jane"]}, "not of the JSON type"),
        (0x00100010, {"vr": "PN", "Value": [{"Alphabetical": "x"}]}, "groups of a name"),
        (0x00100010, {"vr": "PN", "Value": [{"Alphabetic": 5}]}, "groups of a name"),
        (0x00100010, {"vr": "PN", "Value": [{"Alphabetic": "A=B"}]}, "validate VR PN: value contains invalid"),
        (0x00100010, {"vr": "PN", "Value": [{"Alphabetic": "A^B^C^D^E^F"}]}, "too many components"),
        (0x00101020, {"vr": "DS", "Value": [True]}, "not of the JSON type"),
        (0x00101020, {"vr": "DS", "Value": ["1,75"]}, "no decimal string"),
        (0x00101020, {"vr": "DS", "Value": ["0.30000000000000004"]}, "exceeds maximum length of 16"),
        (0x00100020, {"vr": "LO", "Value": ["A", "B"]}, "multiplicity is greater than 1"),
        (0x00104000, {"vr": "LT", "Value": ["A", "B"]}, "multiplicity is greater than 1"),
        (0x00100020, {"vr": "LO", "Value": ["A\\B"]}, "validate VR LO: value contains invalid"),
        (0x00100020, {"vr": "LO", "Value": ["A\x1b$B"]}, "validate VR LO: value contains invalid"),
        (0x00100020, {"vr": "LO", "Value": ["A\nB"]}, "validate VR LO: value contains invalid"),
        (0x00100020, {"vr": "LO", "Value": ["\ud800"]}, "validate VR LO: value contains invalid"),
        (0x00104000, {"vr": "LT", "Value": ["\udfff"]}, "validate VR LT: value contains invalid"),
        (0x00100030, {"vr": "DA", "Value": ["20240230"]}, "validate VR DA: the date does not exist"),
        (0x00100040, {"vr": "CS", "Value": ["f"]}, "validate VR CS: value contains invalid character"),
        (0x00101010, {"vr": "AS", "Value": ["44Y"]}, "validate VR AS"),
        (0x00101000, {"vr": "LO", "Value": ["x" * 64] * 1100}, "maximum length of 65534 bytes"),
    ],
)
def test_invalid_values_are_refused(tag: int, element: Any, reason: str) -> None:
    ((where, why),) = refused({f"{tag:08X}": element})
    assert where == tag
    assert reason in why
    why.encode()
