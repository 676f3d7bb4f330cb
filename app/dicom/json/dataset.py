"""Datasets in the DICOM JSON model, and functions that read them (PS3.18 §F.2).

A dataset maps tags to elements: `{"00100020": {"vr": "LO", "Value": ["P9"]}}`. Tags are 8 upper-case hex digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

NAME_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
"""The component groups of a person name, in the order of PS3.5 §6.2.1."""

JsonElement = dict[str, Any]
"""One attribute: `{"vr": "DA", "Value": ["20240115"]}`. Datasets share elements, so nobody changes one."""

JsonDataset = dict[str, JsonElement]
"""Tag -> element of one dataset."""

JsonAttributes = Mapping[str, JsonElement]
"""Key of an attribute -> element, to be read only: a dataset, or the values that the index holds of an object."""


def first_of(element: JsonElement) -> JsonElement | None:
    """Return an element with its first value alone, as the index holds it; None if it has none (conformance §3.8)."""
    values = element.get("Value")
    if not values or values[0] is None:
        return None
    return element if len(values) == 1 else {"vr": element["vr"], "Value": values[:1]}


def person_name(value: Mapping[str, str]) -> str:
    """Return a person name of the JSON model as files have it: `Alphabetic=Ideographic=Phonetic`."""
    return "=".join(value.get(group, "") for group in NAME_GROUPS).rstrip("=")


def ordered(dataset: JsonDataset) -> JsonDataset:
    """Return the dataset with its elements in the order of tags, also in items, as PS3.18 §F.2.2 requires."""
    return {tag: _ordered(dataset[tag]) for tag in sorted(dataset)}


def _ordered(element: JsonElement) -> JsonElement:
    if element["vr"] != "SQ" or "Value" not in element:
        return element
    return element | {"Value": [ordered(item) for item in element["Value"]]}


def has_value(element: JsonElement | None) -> bool:
    """Tell whether an element has more than nulls and empty texts. A sequence has a value if it has an item."""
    if element is None:
        return False
    values = element.get("Value", [])
    if element["vr"] == "SQ":
        return bool(values)
    return any(map(_is_filled, values)) or "BulkDataURI" in element or "InlineBinary" in element


def items(dataset: JsonDataset, tag: str) -> list[JsonDataset]:
    """Return the items of a sequence, an empty list if it is absent or empty."""
    found: list[JsonDataset] = dataset.get(tag, {}).get("Value", [])
    return found


def _is_filled(value: Any) -> bool:
    return any(value.values()) if isinstance(value, dict) else value is not None and value != ""
