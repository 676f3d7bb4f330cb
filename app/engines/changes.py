"""Checks of the arguments of a table call. Every engine makes them first, so that all engines refuse the same calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from app.storage.table.ports import MAX_CHANGES, MAX_ITEM_BYTES, MAX_WRITE_BYTES, Change, Delete, Key, Put, Range

MAX_PK_BYTES: Final = 2048
MAX_SK_BYTES: Final = 1024
"""How long a key may be in UTF-8. These are limits of DynamoDB."""


def check_keys(changes: Sequence[Change]) -> None:
    """Raise ValueError when there are too many changes, when two have the same key, or when a key cannot be stored."""
    if len(changes) > MAX_CHANGES:
        raise ValueError(f"A write takes at most {MAX_CHANGES} changes, not {len(changes)}.")
    _check_each_key(changes)


def _check_each_key(changes: Sequence[Change]) -> None:
    seen: set[Key] = set()
    for change in changes:
        if change.key in seen:
            raise ValueError(f"Two changes of one write name the key {tuple(change.key)}.")
        seen.add(change.key)
        if not is_storable(change.key):
            raise ValueError(
                f"The key {tuple(change.key)} is empty or longer than {MAX_PK_BYTES}, {MAX_SK_BYTES} bytes."
            )


def check_plain(all_changes: Sequence[Change], *plain: Sequence[Change]) -> None:
    """Raise ValueError when one of the `plain` changes has an expectation, or when two of all changes have one key."""
    for change in chain.from_iterable(plain):
        if not isinstance(change, Put | Delete) or change.expect is not None:
            raise ValueError(f"The change of {tuple(change.key)} is neither a put nor a deletion without expectation.")
    _check_each_key(all_changes)


def is_storable(key: Key) -> bool:
    """Return whether an item can have this key. Raises UnicodeEncodeError when the key cannot be encoded in UTF-8."""
    return 0 < len(key.pk.encode()) <= MAX_PK_BYTES and 0 < len(key.sk.encode()) <= MAX_SK_BYTES


def check_range(between: Range) -> None:
    """Raise ValueError when a bound is longer than a sort key may be. DynamoDB would refuse the query."""
    for bound in between:
        if len(bound.encode()) > MAX_SK_BYTES:
            raise ValueError(f"The bound {bound[:100]!r}… of a range is longer than {MAX_SK_BYTES} bytes.")


def check_items(sizes: Iterable[tuple[Key, int]]) -> None:
    """Raise ValueError when an item has more bytes than an engine accepts."""
    for key, size in sizes:
        if size > MAX_ITEM_BYTES:
            raise ValueError(f"The item {tuple(key)} has {size} bytes; at most {MAX_ITEM_BYTES} are allowed.")


def check_total(sizes: Iterable[int]) -> None:
    """Raise ValueError when the items of one write have more bytes in all than an engine accepts."""
    total = sum(sizes)
    if total > MAX_WRITE_BYTES:
        raise ValueError(f"The items of one write have {total} bytes; at most {MAX_WRITE_BYTES} are allowed.")
