"""What DynamoDB charges for a call: write units and read units, by its rules for the size of items.

Source: the developer guide of DynamoDB, "Read and write operations", "Item sizes and formats".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from app.engines.aws.attributes import DATA
from app.storage.table.ports import Item, Key

WRITE_BYTES: Final = 1024
"""A write unit writes up to so many bytes of one item."""

READ_BYTES: Final = 4096
"""A strongly consistent read unit reads up to so many bytes."""


def size_of(item: Item) -> int:
    """Return the bytes of an item: the names and values of its attributes, with its key."""
    fields = sum(len(name.encode()) + _value_size(value) for name, value in item.fields.items())
    return key_size(item.key) + fields + (len(DATA) + len(item.data) if item.data else 0)


def key_size(key: Key) -> int:
    """Return the bytes of the two key attributes."""
    return len("pk") + len(key.pk.encode()) + len("sk") + len(key.sk.encode())


def write_units(size: int, *, transactional: bool) -> int:
    """Return the units of one write of an item. A deletion counts the item that it removes."""
    return max(1, -(-size // WRITE_BYTES)) * (2 if transactional else 1)


def read_units(size: int) -> int:
    """Return the units of one strongly consistent read. A query counts its items together."""
    return max(1, -(-size // READ_BYTES))


def query_units(items: Iterable[Item]) -> int:
    """Return the units of a query that reads these items."""
    return read_units(sum(map(size_of, items)))


def _value_size(value: Any) -> int:
    match value:
        case bool():
            return 1
        case int():
            return 1 + (len(str(abs(value))) + 1) // 2
        case str():
            return len(value.encode())
        case list() | tuple():
            return 3 + sum(1 + _value_size(each) for each in value)
        case dict():
            return 3 + sum(1 + len(name.encode()) + _value_size(each) for name, each in value.items())
    raise TypeError(f"A field cannot hold a {type(value).__name__}.")
