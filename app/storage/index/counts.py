"""How many instances a series has, without a walk over their rows (conformance §5.8).

The number is a sum of two parts:

* `SeriesRow.counted`. A write that makes instances exist and writes the series row anyway adds them here. A write that
  removes an instance always writes the series row (`removal.py`), and subtracts it here. So `counted` may be negative.
* the count shards of the series row, small items with a number each. A write that makes instances exist and does not
  write the series row adds their number to one shard.

Why the sum is exact: an instance row and its part of the sum change in the same all-or-nothing write. So a kill -9
leaves both or neither. A write whose answer is lost is not made twice: it expects that the instance row is absent, or
has the revision that was read. A conflict makes none of its changes. A series that is stored again after its deletion
has another `created` number, and therefore other shards. An instance that is left over from the earlier series is in
none of them.

Why the writers of one series do not wait for each other: on DynamoDB, two transactions that write the same item at the
same time conflict, and one is repeated. The shard follows from the first watermark of the write. Writers that run at
the same time have watermarks near each other, so they use different shards, up to `SHARDS` of them. `SHARDS` is a
prime number above the number of instances in one write. So the shards of successive full writes differ too.

Earlier layouts counted nothing. A series row of such a layout has no `counted`. The first search that needs the number
counts the rows and keeps it (`InstanceCounts`). The shards of such a series count from the first store by this layout
on.

A count that is read while instances are stored and deleted may mix states, because its items are read one after the
other. It is exact for each write that ended before, and may include a write that has not ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from msgspec.structs import replace

from app.errors import StorageError
from app.storage.records.rows import SeriesRow, StudyRow, is_visible_series
from app.storage.table import keys
from app.storage.table.ports import Delete, Holds, Item, Key, Put, Range, Table

SHARDS: Final = 17

FIELD: Final = "instances"
"""The field of a shard that has its number."""


class StudyContents(NamedTuple):
    """The visible series of a study, and the sum of the shards of each series row, by its `created` number."""

    series: list[SeriesRow]
    in_shards: Mapping[int, int]


def shard(series: SeriesRow, watermark: int) -> Key:
    """Return the key of the shard for a write whose first instance has this watermark."""
    return keys.shard(series.partition, series.study, series.created, watermark % SHARDS)


def with_one_more(row: SeriesRow) -> SeriesRow:
    """Return the row with one instance more in its own part of the number."""
    return row if row.counted is None else replace(row, counted=row.counted + 1)


def with_one_less(row: SeriesRow) -> SeriesRow:
    """Return the row with one instance less in its own part of the number."""
    return row if row.counted is None else replace(row, counted=row.counted - 1)


def remove_lost_shards(table: Table, partition: int, study: str) -> None:
    """Remove the shards of series rows that do not exist any more.

    A `created` number is used once, so no store needs such a shard again. A store that began before its series was
    deleted may still write one. The deletion record makes the cleanup run again after the end of every such store.
    """
    # In reverse order, the series rows are read after the shards. So the row of each shard that is in use is found.
    found = list(table.query(keys.study_items(partition, study), keys.SERIES_AND_SHARDS, reverse=True))
    existing = {item.fields["created"] for item in found if not _is_shard(item)}
    lost = [item.key for item in found if _is_shard(item) and _series_number(item.key) not in existing]
    table.write_each(map(Delete, lost))


class InstanceCounts:
    """Reads the numbers of instances."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def contents(self, study: StudyRow) -> StudyContents:
        """Return what the row of a visible study leads to. This is one query."""
        found = list(self._table.query(keys.study_items(study.partition, study.study), keys.SERIES_AND_SHARDS))
        rows = [SeriesRow.of(item, study.partition, study.study) for item in found if not _is_shard(item)]
        return StudyContents(
            [row.after_update(study.update_id) for row in rows if is_visible_series(study, row)],
            _sums(filter(_is_shard, found)),
        )

    def of_study(self, contents: StudyContents) -> int:
        """Return the number of instances of a study."""
        return sum(self._number(row, contents.in_shards) for row in contents.series)

    def of_series(self, rows: Sequence[SeriesRow]) -> list[int]:
        """Return the number of instances of each of these visible series of one study. This is one query."""
        if not rows:
            return []
        between = keys.SHARDS if len(rows) > 1 else keys.shards_of(rows[0].created)
        in_shards = self._in_shards(rows[0], between)
        return [self._number(row, in_shards) for row in rows]

    def _number(self, row: SeriesRow, in_shards: Mapping[int, int]) -> int:
        return self._count_rows(row) if row.counted is None else row.counted + in_shards.get(row.created, 0)

    def _count_rows(self, row: SeriesRow) -> int:
        """Return the number of instances of a series of an earlier layout, and keep it in the series row.

        This reads all instance rows, once for each series. The number is not kept if the series row was written
        meanwhile, or if a store has changed the shards. A kill -9 before the write leaves the row as it was, and the
        next search counts again.
        """
        between = keys.shards_of(row.created)
        item = self._table.get(row.key)
        before = self._in_shards(row, between)
        instances = self._table.query(keys.study_items(row.partition, row.study), keys.instances_of(row.series))
        number = sum(1 for each in instances if each.fields["of_series"] == row.created)
        in_shards = self._in_shards(row, between)
        stored = SeriesRow.of(item, row.partition, row.study) if item else None
        if stored and stored.created == row.created and stored.counted is None and in_shards == before:
            counted = replace(stored, counted=number - in_shards[row.created], revision=stored.revision + 1)
            with suppress(StorageError):  # the number is right, whether it is kept or not
                self._table.write(Put(counted.item, Holds("revision", stored.revision)))
        return number

    def _in_shards(self, row: SeriesRow, between: Range) -> Counter[int]:
        """Return the sums of shards of the study of a series, by the number of their series row."""
        return _sums(self._table.query(keys.study_items(row.partition, row.study), between))


def _sums(shards: Iterable[Item]) -> Counter[int]:
    sums: Counter[int] = Counter()
    for item in shards:
        sums[_series_number(item.key)] += int(item.fields[FIELD])
    return sums


def _series_number(shard: Key) -> int:
    return int(shard.sk.split("/")[1])


def _is_shard(item: Item) -> bool:
    return item.key.sk.startswith(keys.SHARDS.low)
