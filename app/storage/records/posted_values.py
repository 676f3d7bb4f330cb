"""Values that rows of studies and series do not show, and that have postings all the same.

* Identifiers of studies and requests. The value that counts is that in the metadata of the newest instance
  (conformance §5.3). The newest instance can be deleted, so the row keeps the values of all instances that were ever
  stored, and has a posting for each.
* The SOP classes of the instances of a series. A posting for each instance would cost as much as its row.

A search verifies each candidate. So a posting of a former value does no harm.

A row keeps up to `MAX_VALUES` values of an attribute. After that it keeps `ANY_VALUE` alone, and a search by this
attribute always takes the object as a candidate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from app.dicom.json.dataset import JsonDataset
from app.dicom.query.canonical import MAX_CANONICAL, canonical, canonical_values
from app.dicom.query.dataset_values import element_of
from app.dicom.validation.attributes import POSTED, SOP_CLASS, Level
from app.storage.records.spread_lists import part_of_values
from app.storage.table import keys
from app.storage.table.ports import Key

PostedValues = Mapping[str, tuple[str, ...]]
"""Tag or path of an attribute -> canonical values."""

MAX_VALUES: Final = 10

ANY_VALUE: Final = ""
"""No attribute has this canonical value."""


def posted_values(dataset: JsonDataset, sop_class: str) -> dict[Level, PostedValues]:
    """Return the values of an instance, by the level of the row that keeps them."""
    found: dict[Level, dict[str, tuple[str, ...]]] = {}
    if sop_class:
        found[Level.SERIES] = {SOP_CLASS: (canonical("UI", sop_class),)}
    for each in POSTED:
        values = canonical_values(each, element_of(dataset, each))
        if values:
            found.setdefault(each.level, {})[each.key] = tuple(value[:MAX_CANONICAL] for value in values)
    return dict(found)


def united(before: PostedValues, added: PostedValues) -> dict[str, tuple[str, ...]]:
    """Return the values of a row after a store."""
    return {**before, **{key: _united(before.get(key, ()), values) for key, values in added.items()}}


def _united(before: tuple[str, ...], added: tuple[str, ...]) -> tuple[str, ...]:
    values = {*before, *added}
    return (ANY_VALUE,) if ANY_VALUE in values or len(values) > MAX_VALUES else tuple(sorted(values))


def posting_keys(partition: int, kind: str, created: int, posted: PostedValues, shards: int = 1) -> Iterator[Key]:
    """Yield the keys of the postings of a row. `kind` is its level."""
    for key, values in posted.items():
        for value in values:
            yield Key(part_of_values(partition, kind, key, created, shards), keys.entry(value, created))
