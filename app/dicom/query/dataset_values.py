"""The values of a dataset that find it: those of a tag, or of a path into the items of a sequence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.dicom.json.dataset import JsonDataset, JsonElement, items
from app.dicom.validation.attributes import Attribute


def first_values(dataset: JsonDataset, path: str) -> Iterator[Any]:
    """Yield the first value at a tag, or that of each item at a path (`00400275.00400009`). Skip what has no value."""
    *above, tag = path.split(".")
    for holder in items(dataset, above[0]) if above else [dataset]:
        values = holder.get(tag, {}).get("Value")
        if values and values[0] is not None:
            yield values[0]


def element_of(dataset: JsonDataset, attribute: Attribute) -> JsonElement:
    """Return the values of an attribute as one element, without values if it has none."""
    return {"vr": attribute.vr, "Value": list(first_values(dataset, attribute.tag))}
