"""The attributes of an instance as a tree for people, from its DICOM JSON (PS3.18 §F.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pydicom.datadict import dictionary_description, dictionary_has_tag, private_dictionary_description

from app.dicom.json.dataset import JsonDataset, JsonElement
from app.web.site import formatting
from app.web.site.attributes import uid_name, value_text

MAX_ELEMENTS: Final = 3000
"""The most elements of a tree. Deeper and later ones are left out, and the page says so."""
MAX_DEPTH: Final = 12
_MAX_ITEMS: Final = 50
_SHORT: Final = 200
_LONG: Final = 4000
_SHOWN_BINARY: Final = 48


class Node(NamedTuple):
    """One element. `rest` is the text after the first characters of a long `value`. `bulk_data` is a URL."""

    tag: str
    name: str
    vr: str
    value: str
    rest: str
    bulk_data: str
    items: tuple[tuple[Node, ...], ...]
    hidden_items: int


class Tree(NamedTuple):
    """The elements of a dataset. `is_complete` says that none was left out."""

    nodes: tuple[Node, ...]
    is_complete: bool


def tree(dataset: JsonDataset) -> Tree:
    """Return the elements of a dataset in the order of their tags, with the items of sequences."""
    budget = _Budget()
    nodes = tuple(_nodes(dataset, budget, 1))
    return Tree(nodes, budget.is_enough)


class _Budget:
    """How many more elements the tree may have."""

    def __init__(self) -> None:
        self.left = MAX_ELEMENTS
        self.is_enough = True

    def take(self) -> bool:
        """Return whether another element may be shown."""
        self.left -= 1
        self.is_enough = self.is_enough and self.left >= 0
        return self.left >= 0


def _nodes(dataset: Mapping[str, JsonElement], budget: _Budget, depth: int) -> Iterator[Node]:
    creators = {tag: value for tag, value in ((tag, _creator(tag, dataset[tag])) for tag in dataset) if value}
    for tag in sorted(dataset):
        if not budget.take():
            return
        yield _node(tag, dataset[tag], creators.get(f"{tag[:4]}00{tag[4:6]}", ""), budget, depth)


def _node(tag: str, element: JsonElement, creator: str, budget: _Budget, depth: int) -> Node:
    vr, values = str(element.get("vr", "")), element.get("Value", [])
    items: tuple[tuple[Node, ...], ...] = ()
    text = ""
    if vr == "SQ":
        if depth < MAX_DEPTH:
            items = tuple(tuple(_nodes(item or {}, budget, depth + 1)) for item in values[:_MAX_ITEMS])
        budget.is_enough = budget.is_enough and len(items) == len(values)
    else:
        text = _text(vr, element, values)
    return Node(
        tag=f"({tag[:4]},{tag[4:]})",
        name=_name(tag, creator),
        vr=vr,
        value=text[:_SHORT],
        rest=text[_SHORT:_LONG] + ("…" if len(text) > _LONG else ""),
        bulk_data=formatting.visible(element.get("BulkDataURI", "")),
        items=items,
        hidden_items=len(values) - len(items) if vr == "SQ" else 0,
    )


def _text(vr: str, element: JsonElement, values: list[Any]) -> str:
    if "InlineBinary" in element:
        data = str(element["InlineBinary"])
        return f"{data[:_SHOWN_BINARY]}{'…' if len(data) > _SHOWN_BINARY else ''} (base64)"
    texts = []
    length = 0
    for value in values:  # a long list of numbers is not written as a whole
        text = "" if value is None else value_text(value)
        texts.append(f"{text} ({uid_name(text)})" if vr == "UI" and uid_name(text) != text else text)
        length += len(text) + 3
        if length > _LONG:
            break
    return " \\ ".join(texts)


def _creator(tag: str, element: JsonElement) -> str:
    """Return the private creator that an element names, an empty text if it names none (PS3.5 §7.8.1)."""
    is_creator = int(tag[:4], 16) % 2 == 1 and tag[4:6] == "00" and tag[6:] >= "10"
    return value_text(next(iter(element.get("Value", [])), "") or "") if is_creator else ""


def _name(tag: str, creator: str) -> str:
    number = int(tag, 16)
    if (number >> 16) % 2 == 0:
        return dictionary_description(number) if dictionary_has_tag(number) else ""
    if number & 0xFF00 == 0:
        return "Private Creator"
    try:
        return private_dictionary_description(number, creator) if creator else ""
    except KeyError:
        return ""
