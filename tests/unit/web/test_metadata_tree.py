"""The attributes of an instance as a tree, within its limits (conformance §15.1)."""

from __future__ import annotations

from typing import Any

import pytest

from app.dicom.json.dataset import JsonDataset
from app.web.site import metadata_tree
from app.web.site.metadata_tree import MAX_DEPTH, Node, tree


def one(tag: str, **element: Any) -> Node:
    """Return the node of a dataset with one element."""
    (node,) = tree({tag: {"vr": "LO", **element}}).nodes
    return node


@pytest.mark.parametrize(
    ("tag", "element", "name", "value"),
    [
        (
            "00100010",
            {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane", "Ideographic": "X"}]},
            "Patient's Name",
            "Doe, Jane (X)",
        ),
        (
            "00080016",
            {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
            "SOP Class UID",
            "1.2.840.10008.5.1.4.1.1.2 (CT Image Storage)",
        ),
        ("00280030", {"vr": "DS", "Value": [0.5, 2.0]}, "Pixel Spacing", "0.5 \\ 2"),
        ("00080008", {"vr": "CS", "Value": ["A", None]}, "Image Type", "A \\ "),
        ("00091001", {"vr": "UN", "InlineBinary": "QUJD"}, "", "QUJD (base64)"),
        ("00100020", {}, "Patient ID", ""),
        ("00100020", {"Value": ["a\x00\x1b[1m\u202eb"]}, "Patient ID", "a\ufffd\ufffd[1m\ufffdb"),
    ],
)
def test_an_element_has_its_name_and_its_values(tag: str, element: dict[str, Any], name: str, value: str) -> None:
    node = one(tag, **element)
    assert (node.name, node.value) == (name, value)


def test_a_private_element_has_the_name_that_its_creator_gives() -> None:
    dataset: JsonDataset = {
        "00190010": {"vr": "LO", "Value": ["GEMS_ACQU_01"]},
        "00191002": {"vr": "SL", "Value": [1]},
    }
    assert [node.name for node in tree(dataset).nodes] == ["Private Creator", "Detector Channel"]


def test_a_long_value_is_cut() -> None:
    node = one("00100020", Value=["x" * 10_000])
    assert len(node.value) + len(node.rest) == 4001
    assert node.rest.endswith("…")
    assert len(one("00100020", Value=["x"] * 100_000).rest) <= 4001


def test_bulk_data_are_a_link() -> None:
    assert one("7FE00010", vr="OW", BulkDataURI="/v2/bulk").bulk_data == "/v2/bulk"


def test_items_that_are_too_deep_or_too_many_are_left_out() -> None:
    dataset: JsonDataset = {"00100020": {"vr": "LO"}}
    for _ in range(MAX_DEPTH + 100):
        dataset = {"00081140": {"vr": "SQ", "Value": [dataset]}}
    deep = tree(dataset)
    assert not deep.is_complete
    depth, nodes = 0, deep.nodes
    while nodes and nodes[0].items:
        depth, nodes = depth + 1, nodes[0].items[0]
    assert depth == MAX_DEPTH - 1
    many = tree({"00081140": {"vr": "SQ", "Value": [{}] * 51}})
    assert (many.is_complete, many.nodes[0].hidden_items) == (False, 1)


def test_the_number_of_elements_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata_tree, "MAX_ELEMENTS", 3)
    dataset: JsonDataset = {f"001000{number:02}": {"vr": "LO"} for number in range(10, 13)}
    assert tree(dataset).is_complete
    assert not tree(dataset | {"00200010": {"vr": "SH"}}).is_complete
