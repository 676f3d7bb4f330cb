"""The elements of bulk data that the metadata document of an instance names (`dicom/json/bulk_data.py`)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cached_property

import orjson

from app.dicom.json.bulk_data import NotedElement, noted_element, noted_elements
from app.dicom.json.dataset import JsonDataset, JsonElement
from app.storage.records import large_documents
from app.storage.records.packed_documents import unpack


class NotedElements:
    """Finds bulk data by a packed document. A document of an older release names none."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    @cached_property
    def dataset(self) -> JsonDataset:
        """The stored dataset, with a shortened form of each large element."""
        dataset: JsonDataset = orjson.loads(unpack(self._packed))
        return dataset

    def find(self, path: str) -> NotedElement | bytes | None:
        """Return the element at a path: its place, or its bytes if they are in the document. None if it has no such."""
        place = large_documents.places_in(self._packed).get(path[:8])
        if place is not None and "/" in path:
            found = noted_elements(large_documents.text_of(self._packed, place))
            return next((each.moved(place.shift) for each in found if each.path == path), None)
        element = _element_at(self.dataset, path)
        if element is None:
            return None
        inline: str | None = element.get("InlineBinary")
        return noted_element(element) if inline is None else base64.b64decode(inline)

    def each(self) -> Iterator[NotedElement]:
        """Yield every element that has a BulkDataURI. Those of large sequences come last."""
        yield from noted_elements(unpack(self._packed))
        for tag, place in large_documents.places_in(self._packed).items():
            if self.dataset[tag]["vr"] == "SQ":
                for noted in noted_elements(large_documents.text_of(self._packed, place)):
                    yield noted.moved(place.shift)


def _element_at(dataset: JsonDataset, path: str) -> JsonElement | None:
    tag, *steps = path.split("/")
    element = dataset.get(tag)
    for number, inner in zip(steps[::2], steps[1::2], strict=True):
        items = element.get("Value", ()) if element is not None and element["vr"] == "SQ" else ()
        element = items[int(number)].get(inner) if int(number) < len(items) else None
    return element
