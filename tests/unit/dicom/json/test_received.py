"""Datasets in request bodies: which are read, and the messages for those that are refused (PS3.18 §F.2)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.dicom.json.dataset import JsonDataset, has_value, items, ordered
from app.dicom.json.received import MAX_DEPTH, SYNTAX, first_dataset
from app.errors import InvalidRequest


def test_only_the_first_dataset_is_read() -> None:
    given = {"00100020": {"vr": "LO", "Value": ["P9"]}}
    assert first_dataset([given, {"nonsense": 7}]) == given


def test_tags_are_read_in_any_case_and_empty_values_dropped() -> None:
    given = {"0040a370": {"vr": "SQ", "Value": [{"0040e001": {"vr": "ST", "Value": []}}]}}
    assert first_dataset([given]) == {"0040A370": {"vr": "SQ", "Value": [{"0040E001": {"vr": "ST"}}]}}


def test_what_clients_built_on_fo_dicom_send_is_read() -> None:
    given = {
        "ReferencedRequestSequence": {"vr": "SQ", "Value": [{"AccessionNumber": {"vr": "SH", "Value": None}}]},
        "PatientName": {"vr": "PN", "Value": [{"Alphabetic": "Doe", "Phonetic": None}, None]},
        "00091001": {"vr": "OB", "InlineBinary": "AAE="},
    }
    assert first_dataset([given]) == {
        "0040A370": {"vr": "SQ", "Value": [{"00080050": {"vr": "SH"}}]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe"}, None]},
        "00091001": {"vr": "OB", "InlineBinary": "AAE="},
    }


def test_elements_in_the_order_of_tags() -> None:
    inner = {"00080104": {"vr": "LO"}, "00080100": {"vr": "SH"}}
    given: JsonDataset = {
        "0040A370": {"vr": "SQ", "Value": [inner]},
        "00080018": {"vr": "UI"},
        "00404025": {"vr": "SQ"},
    }
    found = ordered(given)
    assert found == given
    assert list(found) == ["00080018", "00404025", "0040A370"]
    assert list(found["0040A370"]["Value"][0]) == ["00080100", "00080104"]


@pytest.mark.parametrize(
    "document",
    [{}, [], [1], [[]], None, "x"],
)
def test_a_body_that_is_not_an_array_of_datasets_is_a_syntax_error(document: Any) -> None:
    with pytest.raises(InvalidRequest, match=SYNTAX):
        first_dataset(document)


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ('"0010":{"vr":"LO"}', "'0010' .*8 hex digits"),
        ('"Patient":{"vr":"LO"}', "'Patient' .*8 hex digits"),
        ('"٠٠١٠٠٠٢٠":{"vr":"LO"}', "8 hex digits"),
        ('"PatientID":{"vr":"LO"},"00100020":{"vr":"LO"}', "'00100020' .*given twice"),
        ('"00100020":{"vr":"LO","InlineBinary":"AAE="}', "'InlineBinary' is in base64, and for VRs OB, OD"),
        ('"00091001":{"vr":"OB","InlineBinary":"A"}', "'InlineBinary' is in base64"),
        ('"00091001":{"vr":"OB","InlineBinary":"é"}', "'InlineBinary' is in base64"),
        ('"0010001a":{"vr":"LO"},"0010001A":{"vr":"LO"}', "'0010001A' .*given twice"),
        ('"00100020":"P9"', "an element is an object"),
        ('"00100020":{}', "vr is missing or unknown"),
        ('"00100020":{"vr":["LO"]}', "vr is missing or unknown"),
        ('"00100020":{"vr":"ZZ"}', "vr is missing or unknown"),
        ('"00100020":{"vr":"SH"}', "its vr is 'SH', not 'LO'"),
        ('"00100020":{"vr":"LO","Value":"P9"}', "'Value' is an array"),
        ('"00100020":{"vr":"LO","Value":[1]}', "none that VR LO has in JSON"),
        ('"00100020":{"vr":"LO","Value":[{}]}', "none that VR LO has in JSON"),
        ('"00100020":{"vr":"LO","value":["P9"]}', "beside 'vr'"),
        ('"00100020":{"vr":"LO","Value":["P9"],"InlineBinary":""}', "beside 'vr'"),
        ('"00100010":{"vr":"PN","Value":["Doe"]}', "none that VR PN has in JSON"),
        ('"00100010":{"vr":"PN","Value":[{"alphabetic":"Doe"}]}', "none that VR PN has in JSON"),
        ('"00100010":{"vr":"PN","Value":[{"Alphabetic":1}]}', "none that VR PN has in JSON"),
        ('"00201208":{"vr":"IS","Value":[true]}', "none that VR IS has in JSON"),
        ('"0040A370":{"vr":"SQ","Value":[null]}', "items of a sequence are objects"),
        ('"0040A370":{"vr":"SQ","InlineBinary":"x"}', "not for sequences"),
        ('"0040A370":{"vr":"SQ","Value":[{"00080050":{"vr":"LO"}}]}', "'0040A370.00080050' .*'LO', not 'SH'"),
    ],
)
def test_the_message_names_an_element_of_a_wrong_structure(element: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        first_dataset([json.loads(f"{{{element}}}")])


NUMBERS: dict[str, tuple[list[Any], list[Any]]] = {
    "DS": ([1, 1.5, 10**30, "1.5", " +.5e-3 ", "12"], ["", "1,5", "abc", "0x1", "1_0", "٣", True]),
    "FD": ([1, -0.5, "NaN", "-Infinity"], ["1.5", "inf", ""]),
    "IS": ([0, -(2**31), "007 ", 1.0], [2**31, 1.5, "1.5", "2147483648", "-", ""]),
    "SS": ([-32768, 32767], [32768, "1"]),
    "US": ([0, 65535], [-1, 65536, 1e300, "1"]),
    "UL": ([2**32 - 1], [2**32]),
    "SV": ([-(2**63), "-9223372036854775808"], [2**63]),
    "UV": ([2**64 - 1, "18446744073709551615"], [float(2**64), "1" * 5000]),
    "AT": (["00100020", "0010001a"], ["1", "0010,0020", 7]),
}


@pytest.mark.parametrize("vr", NUMBERS)
def test_numbers_must_be_in_the_range_of_their_vr(vr: str) -> None:
    """A client that reads strictly would trip over others, and over the whole page that they stand in."""
    good, bad = NUMBERS[vr]
    assert first_dataset([{"00091001": {"vr": vr, "Value": [*good, None]}}])
    for value in bad:
        with pytest.raises(InvalidRequest, match=f"'00091001' .*a value is none that VR {vr} has in JSON"):
            first_dataset([{"00091001": {"vr": vr, "Value": [value]}}])


@pytest.mark.parametrize(("depth", "fits"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False), (200, False)])
def test_nesting_is_bounded(depth: int, fits: bool) -> None:
    dataset: dict[str, object] = {}
    for _ in range(depth):
        dataset = {"0040A370": {"vr": "SQ", "Value": [dataset]}}
    if fits:
        assert first_dataset([dataset])
    else:
        with pytest.raises(InvalidRequest, match="nested more than 16 deep"):
            first_dataset([dataset])


@pytest.mark.parametrize(
    ("element", "filled"),
    [
        (None, False),
        ({"vr": "LO"}, False),
        ({"vr": "LO", "Value": [None, ""]}, False),
        ({"vr": "LO", "Value": [None, "x"]}, True),
        ({"vr": "US", "Value": [0]}, True),
        ({"vr": "PN", "Value": [{"Alphabetic": ""}]}, False),
        ({"vr": "PN", "Value": [{"Phonetic": "x"}]}, True),
        ({"vr": "SQ", "Value": [{}]}, True),
        ({"vr": "OB", "InlineBinary": "AA=="}, True),
        ({"vr": "UT", "BulkDataURI": "x"}, True),
    ],
)
def test_elements_with_and_without_a_value(element: dict[str, object] | None, filled: bool) -> None:
    assert has_value(element) is filled


def test_an_absent_sequence_has_no_items() -> None:
    assert items({}, "0040A370") == items({"0040A370": {"vr": "SQ"}}, "0040A370") == []
