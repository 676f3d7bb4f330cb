"""The Native DICOM Model of datasets (PS3.19 §A.1, conformance §4.16)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.dicom.xml.json_tokens import tokens
from app.dicom.xml.native_model import native_model
from tests.support.native_model import checked, dataset_of, in_texts

ONE: dict[str, Any] = {
    "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
    "00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]},
    "00080090": {"vr": "PN"},
    "00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.3"]}}, {}]},
    "00100010": {
        "vr": "PN",
        "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}, None],
    },
    "00280010": {"vr": "US", "Value": [512]},
    "00281050": {"vr": "DS", "Value": [-40.5, "1e400", 1e-7]},
    "00281201": {"vr": "OW", "InlineBinary": "AAEC"},
    "00281202": {"vr": "OW", "InlineBinary": ""},
    "7FE00010": {"vr": "OW", "BulkDataURI": "http://localhost/v2/studies/1/bulkdata/7FE00010?a=1&b=2"},
}


def written(dataset: dict[str, Any], size: int | None = None) -> bytes:
    """Return the XML. The JSON comes in chunks of this size."""
    text = orjson.dumps(dataset)
    chunks = text if size is None else (text[at : at + size] for at in range(0, len(text), size))
    return b"".join(native_model(chunks))


def value_of(text: str, vr: str = "LT") -> str | None:
    return checked(written({"00104000": {"vr": vr, "Value": [text]}}))[0][0].text


@pytest.mark.parametrize("size", [None, 1, 2, 3, 7, 64, 10_000])
def test_every_kind_of_value_in_chunks_of_any_size(size: int | None) -> None:
    assert dataset_of(written(ONE, size)) == in_texts(ONE)


def test_the_text_of_a_small_dataset() -> None:
    dataset = {
        "00080016": {"vr": "UI", "Value": ["1.2"]},
        "00091002": {"vr": "UN"},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^^J"}]},
    }
    assert written(dataset).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">'
        '<DicomAttribute tag="00080016" vr="UI" keyword="SOPClassUID"><Value number="1">1.2</Value></DicomAttribute>'
        '<DicomAttribute tag="00091002" vr="UN"></DicomAttribute>'
        '<DicomAttribute tag="00100010" vr="PN" keyword="PatientName"><PersonName number="1"><Alphabetic>'
        "<FamilyName>Doe</FamilyName><MiddleName>J</MiddleName></Alphabetic></PersonName></DicomAttribute>"
        "</NativeDicomModel>"
    )


def test_an_empty_dataset() -> None:
    assert dataset_of(written({})) == {}


@pytest.mark.parametrize(
    "text",
    ["a<b>&\"'c", "tab\tline\r\nend", " spaces ", "\u00e4\u6f22\U0001f600", "]]>", "back\\slash", "\u007f\u0085\u2028"],
)
def test_text_is_unchanged(text: str) -> None:
    assert value_of(text) == text


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\x0c", "\x1b", "\ufffe", "\uffff"])
def test_a_character_that_xml_does_not_have_is_replaced(character: str) -> None:
    assert value_of(f"a{character}b") == "a\ufffdb"


def test_a_private_attribute_has_its_creator_and_no_block() -> None:
    dataset = {
        "00090010": {"vr": "LO", "Value": ['ACME "1" & <co>']},
        "00090011": {"vr": "LO", "Value": ["OTHER"]},
        "00091001": {"vr": "LO", "Value": ["a"]},
        "00091101": {"vr": "SQ", "Value": [{"00091001": {"vr": "LO", "Value": ["in an item"]}}]},
        "00091201": {"vr": "LO", "Value": ["without creator"]},
    }
    found = checked(written(dataset))
    assert [(each.get("tag"), each.get("privateCreator")) for each in found] == [
        ("00090001", 'ACME "1" & <co>'),
        ("00090001", "OTHER"),
        ("00091201", None),
    ]
    item = found[1][0][0]  # the creators of the dataset do not hold in an item (PS3.5 §7.8.1)
    assert (item.get("tag"), item.get("privateCreator")) == ("00091001", None)


@pytest.mark.parametrize(
    ("name", "suffix"), [("F^G^M^P^S", "S"), ("F^G^M^P^S^more^", "S^more^"), ("^^^^", None), ("", None)]
)
def test_components_of_a_name(name: str, suffix: str | None) -> None:
    root = checked(written({"00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]}}))
    found = {str(each.tag).rpartition("}")[2]: each.text for each in root[0][0][0]}
    assert found.get("NameSuffix") == suffix
    assert list(found) == (["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"] if suffix else [])


def test_keywords_of_repeating_groups() -> None:
    assert checked(written({"60020010": {"vr": "US", "Value": [1]}}))[0].get("keyword") == "OverlayRows"


def test_a_large_dataset_is_written_in_chunks() -> None:
    items = [{"00081155": {"vr": "UI", "Value": [f"1.2.{number}"]}} for number in range(5000)]
    text = orjson.dumps({"00081140": {"vr": "SQ", "Value": items}})
    taken = 0

    def chunks() -> Any:
        nonlocal taken
        for at in range(0, len(text), 4096):
            taken += 1
            yield text[at : at + 4096]

    found = native_model(chunks())
    first = next(found)
    assert len(first) < 150_000
    assert taken < len(text) // 4096 // 2
    assert dataset_of(first + b"".join(found)) == in_texts(orjson.loads(text))


def test_the_tokens_of_a_long_string_in_small_chunks() -> None:
    text = orjson.dumps(["x" * 100_000, 12, '"\\'])
    assert list(tokens(text[at : at + 10] for at in range(0, len(text), 10))) == [
        b"[", b'"' + b"x" * 100_000 + b'"', b",", b"12", b",", b'"\\"\\\\"', b"]",
    ]  # fmt: skip
