"""How records become items and items become records.

A record is a frozen struct with keyword-only fields. The Python name of a field is plain English; where the stored name
differs, the field declares it: `update_id: str = stored_as("epoch", default="")`. A stored name never changes.

Rules for both directions:
* a field that has its default value is not stored, so a field can be added without rewriting old items;
* stored fields that a record does not declare are ignored, so an older release can read what a newer one adds;
* the parts of a record that are in the key or in `Item.data` are given beside the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from app.dicom.json.dataset import JsonAttributes
from app.errors import StorageUnavailable

if TYPE_CHECKING:
    Attributes = JsonAttributes
    JsonObject = Mapping[str, Any]
else:
    Attributes = JsonObject = Any
"""DICOM JSON, and other JSON, in a record. The codec does not check it, because a check takes too long."""

EMPTY: Final[JsonAttributes] = {}
"""The JSON of a record that has none. No code changes it."""


class DamagedRecord(StorageUnavailable):
    """A stored item is not the record that its key promises. The cause says which field."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of everything that is stored in the fields of an item."""


R = TypeVar("R", bound=Record)


def stored_as(name: str, default: Any = msgspec.NODEFAULT) -> Any:
    """Declare the stored name of a field whose Python name is another."""
    return msgspec.field(name=name, default=default)


def encode(record: Record, *elsewhere: str) -> dict[str, Any]:
    """Return the fields to store. `elsewhere` names the fields of the record that the key or `data` holds."""
    fields: dict[str, Any] = msgspec.to_builtins(record)
    for name in elsewhere:
        fields.pop(name, None)
    return fields


def decode(kind: type[R], fields: Mapping[str, Any], **elsewhere: Any) -> R:
    """Return the record. `elsewhere` are its fields that come from the key or from `data`.

    Raises `DamagedRecord` if a field is missing or is of another type.
    """
    try:
        return msgspec.convert({**fields, **elsewhere}, kind)
    except msgspec.ValidationError as error:
        raise DamagedRecord from error
