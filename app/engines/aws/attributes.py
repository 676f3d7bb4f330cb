"""Conversion between items and the attribute values of DynamoDB. The serializer of boto3 is several times slower."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from app.storage.table.ports import Item, Key

DATA: Final = "_data"
"""The attribute with the bytes of an item. An item without bytes does not have it."""

_NOT_FIELDS: Final = frozenset({"pk", "sk", DATA})

Attributes = dict[str, Any]
"""`{"name": {"S": "text"}, …}`"""


def of_key(key: Key) -> Attributes:
    """Return the two key attributes."""
    return {"pk": {"S": key.pk}, "sk": {"S": key.sk}}


def of_item(item: Item) -> Attributes:
    """Return all attributes of an item.

    Raises ValueError for a field named like a key or data attribute, TypeError for a value the port does not allow.
    """
    if not _NOT_FIELDS.isdisjoint(item.fields):
        raise ValueError(f"A field cannot be named {', '.join(sorted(_NOT_FIELDS & item.fields.keys()))}.")
    attributes = of_key(item.key) | {name: encoded(value) for name, value in item.fields.items()}
    if item.data:
        attributes[DATA] = {"B": item.data}
    return attributes


def item(attributes: Attributes) -> Item:
    """Return the item that these attributes stand for: the inverse of `of_item`."""
    fields = {name: decoded(value) for name, value in attributes.items() if name not in _NOT_FIELDS}
    key = Key(attributes["pk"]["S"], attributes["sk"]["S"])
    return Item(key, fields, attributes[DATA]["B"] if DATA in attributes else b"")


def size(item: Item) -> int:
    """Return about how many bytes the item takes: its size as JSON. DynamoDB counts a little less."""
    return len(orjson.dumps(item.fields)) + len(item.data)


def encoded(value: object) -> dict[str, Any]:
    """Return the attribute value of a str, int, bool, list, tuple or dict. Raises TypeError for anything else."""
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        raise TypeError(f"A field cannot hold a {type(value).__name__}.")
    return encoder(value)


def decoded(attribute: dict[str, Any]) -> Any:
    """Return the value of an attribute value: the inverse of `encoded`."""
    ((tag, value),) = attribute.items()
    return _DECODERS[tag](value)


def _identity(value: Any) -> Any:
    return value


_ENCODERS: Final[dict[type, Callable[[Any], dict[str, Any]]]] = {
    str: lambda value: {"S": value},
    bool: lambda value: {"BOOL": value},
    int: lambda value: {"N": str(value)},
    list: lambda value: {"L": [encoded(entry) for entry in value]},
    tuple: lambda value: {"L": [encoded(entry) for entry in value]},
    dict: lambda value: {"M": {name: encoded(entry) for name, entry in value.items()}},
}

_DECODERS: Final[dict[str, Callable[[Any], Any]]] = {
    "S": _identity,
    "BOOL": _identity,
    "N": int,
    "L": lambda value: [decoded(entry) for entry in value],
    "M": lambda value: {name: decoded(entry) for name, entry in value.items()},
}
