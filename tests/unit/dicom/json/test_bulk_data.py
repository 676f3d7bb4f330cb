"""Bulk data in the JSON text of a dataset (PS3.18 §F.2.6, §F.2.7, conformance §4.14)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.dicom.encoding.bulk_data import BulkPlace
from app.dicom.encoding.part10 import parse
from app.dicom.json import bulk_data
from app.dicom.json.bulk_data import NotedElement, move_places, noted_elements, stored_text
from app.dicom.json.bulk_data_texts import uri_positions, with_bulk_data_uris, with_uris_at, without_bulk_data
from app.dicom.json.model import describe
from tests.support.raw_elements import element, part10

URL = "https://pacs.example/studies/1"
TEXT = {"vr": "LO", "Value": ['a "BulkDataURI":"x", {"vr":"OW","InlineBinary":""} \n\t']}
URI = {"vr": "OW", "BulkDataURI": "00091001?12,34"}
FRAGMENTS = {"vr": "OB", "BulkDataURI": "7FE00010"}
INLINE = {"vr": "UN", "InlineBinary": "YWI="}
EMPTY = {"vr": "OB", "InlineBinary": ""}
LONG = {"vr": "DS", "BulkDataURI": "30060050?12,34,8z", "Value": [1, 2.5]}

DATASETS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no bulk data": {"00080020": TEXT},
    "only bulk data": {"00091001": URI},
    "first": {"00091001": URI, "00100020": TEXT},
    "last": {"00080020": TEXT, "7FE00010": FRAGMENTS},
    "between": {"00080020": TEXT, "00091001": INLINE, "00100020": TEXT},
    "two at the start": {"00091001": EMPTY, "00091002": URI, "00100020": TEXT},
    "two at the end": {"00080020": TEXT, "00091001": URI, "00091002": EMPTY},
    "all kinds": {"00091001": URI, "00091002": EMPTY, "00091003": INLINE, "7FE00010": FRAGMENTS},
    "nested": {"00081032": {"vr": "SQ", "Value": [{}, {"00091001": URI}, {"00080100": TEXT, "00091001": EMPTY}]}},
    "long values": {"00080020": TEXT, "30060050": LONG, "30060051": URI},
    "long values alone": {"30060050": LONG},
    "nested long values": {"00081032": {"vr": "SQ", "Value": [{"30060050": LONG, "30060051": EMPTY}, {}]}},
}


def named(dataset: dict[str, Any]) -> dict[str, Any]:
    """The dataset with URLs, by its definition."""
    found: dict[str, Any] = {}
    for tag, each in dataset.items():
        if each["vr"] == "SQ":
            found[tag] = {"vr": "SQ", "Value": [named(item) for item in each["Value"]]}
        elif "BulkDataURI" in each:
            found[tag] = {"vr": each["vr"], "BulkDataURI": f"{URL}/bulkdata/{each['BulkDataURI'].partition('?')[0]}"}
        else:
            found[tag] = {"vr": "OB"} if each is EMPTY else each
    return found


def bare(dataset: dict[str, Any]) -> dict[str, Any]:
    """The dataset without bulk data, by its definition."""
    found: dict[str, Any] = {}
    for tag, each in dataset.items():
        if each["vr"] == "SQ":
            found[tag] = {"vr": "SQ", "Value": [bare(item) for item in each["Value"]]}
        elif "Value" in each:
            found[tag] = {"vr": each["vr"], "Value": each["Value"]}
    return found


every_dataset = pytest.mark.parametrize("name", DATASETS)


@every_dataset
def test_the_texts_of_both_versions(name: str) -> None:
    dataset = DATASETS[name]
    text = stored_text(dataset)
    assert orjson.loads(text) == dataset
    assert with_bulk_data_uris(text, URL) == orjson.dumps(named(dataset))
    assert without_bulk_data(text) == orjson.dumps(bare(dataset))


@every_dataset
def test_positions_give_the_same_text(name: str) -> None:
    text = stored_text(DATASETS[name])
    positions = uri_positions(text)
    if positions or "long" not in name:
        assert with_uris_at(text, positions, URL) == with_bulk_data_uris(text, URL)


@every_dataset
def test_a_text_in_chunks_gives_the_same_text(name: str) -> None:
    text = stored_text(DATASETS[name])
    for size in (1, 7, 50):
        cut = [text[at : at + size] for at in range(0, len(text), size)]
        linked, stripped = with_bulk_data_uris(iter(cut), URL), without_bulk_data(iter(cut))
        assert b"".join(linked) == with_bulk_data_uris(text, URL)
        assert b"".join(stripped) == without_bulk_data(text)


def test_what_a_text_names() -> None:
    text = stored_text(DATASETS["all kinds"] | DATASETS["nested long values"])
    assert list(noted_elements(text)) == [
        NotedElement("00091001", BulkPlace(12, 34)),
        NotedElement("7FE00010", None),
        NotedElement("30060050", BulkPlace(12, 34, 8, True)),
    ]


def test_places_move_at_every_depth() -> None:
    dataset = orjson.loads(orjson.dumps(DATASETS["all kinds"] | DATASETS["nested long values"]))
    move_places(dataset, lambda offset: offset + 100)
    assert dataset["00091001"]["BulkDataURI"] == "00091001?112,34"
    assert dataset["7FE00010"] == FRAGMENTS
    assert dataset["00081032"]["Value"][0]["30060050"]["BulkDataURI"] == "30060050?112,34,8z"


BINARY = part10(b"".join(element(0x00091001 + number, "OB", bytes(100)) for number in range(6)))


def test_the_bytes_that_are_inline_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_data, "MAX_INLINE", 250)
    dataset = describe(parse(BINARY), data=BINARY).dataset
    assert ["InlineBinary" in each for each in dataset.values()] == [True, True, False, False, False, False]


def test_the_places_of_a_dataset_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_data, "MAX_PLACES", 4)
    description = describe(parse(BINARY))
    assert len(description.dataset) == 4
    assert {each.text for each in description.problems} == {bulk_data.TOO_MANY}
    assert all(each.nested for each in description.problems), "no attribute is dropped for it"
