"""The postings of a row: the index entries by which a search finds it. They are a pure function of the row.

A posting names the object that it leads to. The row of the object decides whether it matches. So a posting without a
row is harmless: it may be written before the row and removed after it (`table/batch.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from app.dicom.json.dataset import JsonElement
from app.dicom.query.canonical import MAX_CANONICAL, canonical_values, words
from app.dicom.validation.attributes import CORE, INSTANCE_UID, MODALITIES_IN_STUDY, SERIES_UID, Attribute, Level
from app.storage.records.leftovers import InstanceVersion, Leftovers, RowPostings
from app.storage.records.periods import periods_of
from app.storage.records.posted_values import posting_keys
from app.storage.records.rows import IndexRow, InstanceRow, SeriesRow, StudyRow
from app.storage.records.spread_lists import part_of_newest, part_of_periods, part_of_values
from app.storage.table import keys
from app.storage.table.ports import Item, Key

_UID_TAG: Final = {SeriesRow: SERIES_UID, InstanceRow: INSTANCE_UID}
"""The tag of each level's UID. Studies have no posting for it, because their key contains it."""


def postings(row: IndexRow) -> dict[Key, Item]:
    """Return all postings of a row by key, with those of its pending version."""
    found = _postings(row)
    if not isinstance(row, StudyRow) and row.pending:
        found |= _postings(row.after_update(row.pending.update_id))
    return found


def _postings(row: IndexRow) -> dict[Key, Item]:
    newest = part_of_newest(row.partition, row.level.word, row.created, row.shards)
    found = [Key(newest, keys.newest(row.created))]
    uid_tag = _UID_TAG.get(type(row))
    if uid_tag:
        found.append(value_key(row, uid_tag, _uid(row)))
    if isinstance(row, StudyRow):
        found += [value_key(row, MODALITIES_IN_STUDY, value) for value in row.modalities]
    if not isinstance(row, InstanceRow):
        found += posting_keys(row.partition, row.level.word, row.created, row.posted, row.shards)
    for key, element in row.attributes.items():
        found += attribute_keys(row, CORE.get(key) or _extended(key, element["vr"], row.level), element)
    fields = locator(row)
    return {key: Item(key, fields) for key in found}


def postings_of_version(version: InstanceVersion) -> list[Key]:
    """Return the postings that every instance has, from the version that created its row."""
    row = InstanceRow(
        partition=version.partition,
        study=version.study,
        series=version.series,
        instance=version.instance,
        of_study=0,
        of_series=0,
        watermark=version.watermark,
        version=version.version,
        size=0,
        sop_class="",
        transfer_syntax="",
        revision=0,
        shards=version.shards,
    )
    return list(_postings(row))


def leftovers_of(versions: Sequence[InstanceVersion], found: Mapping[Key, Iterable[Key]]) -> Leftovers:
    """Return versions, and postings by the key of their row, as leftovers.

    The postings that every instance has are left out, because the versions stand for them.
    """
    implied = {key for version in versions for key in postings_of_version(version)}
    rows = (RowPostings(row, tuple(each for each in given if each not in implied)) for row, given in found.items())
    return Leftovers(versions=tuple(versions), postings=tuple(each for each in rows if each.postings))


def entries_of(item: Item) -> frozenset[Key]:
    """Return the keys of the postings of a stored row of the index, and of the tag errors that it names."""
    partition, _, study = item.key.pk.split("/")
    if item.key.sk.startswith("instance/"):
        instance = InstanceRow.of(item, int(partition), study)
        return frozenset([*postings(instance), *(keys.tag_error(*error) for error in instance.errors.items())])
    if item.key.sk.startswith("series/"):
        return frozenset(postings(SeriesRow.of(item, int(partition), study)))
    return frozenset(postings(StudyRow.of(item, int(partition), study)))


def attribute_keys(row: IndexRow, attribute: Attribute, element: JsonElement) -> list[Key]:
    """Return the keys of the postings of one attribute of a row."""
    return keys_of(row.partition, row.level.word, row.created, attribute, element, row.shards)


def keys_of(
    partition: int, kind: str, created: int, attribute: Attribute, element: JsonElement, shards: int = 1
) -> list[Key]:
    """Return the keys of the postings of one attribute of an object. `kind` is its level, or `workitem`."""
    values = canonical_values(attribute, element)
    pk = part_of_values(partition, kind, attribute.key, created, shards)
    found = [Key(pk, keys.entry(value[:MAX_CANONICAL], created)) for value in values]
    if attribute.has_periods:
        pk = part_of_periods(partition, kind, attribute.key, created, shards)
        found += [Key(pk, keys.entry(period, created)) for value in values for period in periods_of(value)]
    if attribute.vr == "PN" and values:
        found += [
            Key(keys.words(partition, kind, attribute.key, word), keys.entry(word[:MAX_CANONICAL], created))
            for word in sorted(set(words(values[0])))
        ]
    return found


def _extended(key: str, vr: str, level: Level) -> Attribute:
    """Return the extended query tag of a key in a row's attributes.

    So the postings follow from the row alone, even if the tag was deleted since.
    """
    tag, _, number = key.partition("#")
    return Attribute(tag=tag, keyword="", vr=vr, level=level, number=int(number))


def value_key(row: IndexRow, tag: str, value: str) -> Key:
    pk = part_of_values(row.partition, row.level.word, tag, row.created, row.shards)
    return Key(pk, keys.entry(value[:MAX_CANONICAL], row.created))


def locator(row: IndexRow) -> dict[str, str]:
    """Return the fields of a row's postings: the UIDs that lead to the row."""
    match row:
        case StudyRow():
            return {"study": row.study}
        case SeriesRow():
            return {"study": row.study, "series": row.series}
    return {"study": row.study, "series": row.series, "instance": row.instance}


def _uid(row: IndexRow) -> str:
    return row.instance if isinstance(row, InstanceRow) else row.series if isinstance(row, SeriesRow) else row.study
