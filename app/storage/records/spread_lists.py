"""Posting lists that are spread over several partition keys.

A partition key of DynamoDB takes a limited number of writes each second, and DynamoDB cannot divide a list whose writes
all go to one end. Lists that every new object writes into are therefore spread: the object with the number n is in the
part n % `shards`. The row of the object says how many parts its lists have (`shards`). So the postings follow from the
row alone, and rows of earlier layouts, which have one part, stay as they are. The embedded engine uses one part.

A reader merges the parts. The table says how many parts the rows of the archive have at most (`open_shards`). An
archive has rows with one part, and rows with that number of parts.
"""

from __future__ import annotations

from typing import Final

from app.dicom.validation.attributes import MODALITIES_IN_STUDY, MODALITY, SOP_CLASS, Level
from app.storage.table import keys
from app.storage.table.ports import Item, Put, Table

_STUDY_DATE: Final = "00080020"
_STEP_START_DATE: Final = "00400244"

_FREQUENT: Final = {
    Level.STUDY.word: frozenset({_STUDY_DATE, MODALITIES_IN_STUDY}),
    Level.SERIES.word: frozenset({MODALITY, SOP_CLASS, _STEP_START_DATE}),
}
"""Attributes of which many new objects have the same value, by level. All attributes of instances are spread too."""


def part_of_values(partition: int, kind: str, tag: str, created: int, shards: int) -> str:
    """Return the partition key of the posting of a value of the object with the number `created`."""
    pk = keys.values(partition, kind, tag)
    return keys.part(pk, created, shards) if shards > 1 and _is_spread(kind, tag) else pk


def parts_of_values(partition: int, kind: str, tag: str, shards: int) -> list[str]:
    """Return the partition keys that together have all postings of an attribute, in an archive with these shards."""
    pk = keys.values(partition, kind, tag)
    return keys.parts(pk, shards) if _is_spread(kind, tag) else [pk]


def part_of_periods(partition: int, kind: str, tag: str, created: int, shards: int) -> str:
    """Return the partition key of the postings of a year and a month (`periods`)."""
    pk = keys.periods(partition, kind, tag)
    return keys.part(pk, created, shards) if shards > 1 and _is_spread(kind, tag) else pk


def parts_of_periods(partition: int, kind: str, tag: str, shards: int) -> list[str]:
    """Return the partition keys that together have all years and months of an attribute."""
    pk = keys.periods(partition, kind, tag)
    return keys.parts(pk, shards) if _is_spread(kind, tag) else [pk]


def part_of_newest(partition: int, kind: str, created: int, shards: int) -> str:
    """Return the partition key of the posting in the list of all objects of a kind."""
    return keys.part(keys.newest_of(partition, kind), created, shards)


def parts_of_newest(partition: int, kind: str, shards: int) -> list[str]:
    """Return the partition keys that together have all objects of a kind, in an archive with these shards."""
    return keys.parts(keys.newest_of(partition, kind), shards)


def open_shards(table: Table, shards: int) -> int:
    """Return how many parts the lists of an archive have at most, when new rows have `shards`.

    A larger number than before is written to the table first. The number must be 1 or always the same larger one: a
    reader looks for rows with one part and for rows with the returned number. A kill -9 after the write leaves a number
    that no row has yet, which does no harm.
    """
    item = table.get(keys.ROW_SHARDS)
    known = int(item.fields["shards"]) if item else 1
    if shards > known:
        table.write(Put(Item(keys.ROW_SHARDS, {"shards": shards})))
    return max(shards, known)


def _is_spread(kind: str, tag: str) -> bool:
    return kind == Level.INSTANCE.word or tag in _FREQUENT.get(kind, ())
