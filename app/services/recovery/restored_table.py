"""The repair of a table that was restored to an earlier moment, while the blobs are those of now.

1. Open stores of that moment are forgotten: their records would let the sweep remove files of stores that succeeded
   later.
2. The counter of watermarks is raised. Numbers that were given after that moment are not used again. The head of the
   change feed is moved behind the last entry that the table has.
3. Partitions that were created later come back, with the names of their objects.
4. Files that no row names, and that no queued removal names, are indexed from their bytes.

What happened after that moment and left no file is lost: deletions, workitems, tags, grants. The caller then checks the
archive (`verification`). The check finds rows whose files were removed after that moment.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from msgspec.structs import replace

from app.services.recovery.item_checks import partition_of
from app.services.recovery.rebuild import Rebuild, RebuildReport
from app.services.recovery.records_in_flight import open_records, work_in_flight
from app.services.recovery.stored_versions import StoredVersions, stored_versions
from app.services.recovery.verification import ShowProgress
from app.storage.feed.change_feed import FeedLog
from app.storage.feed.head import read_head
from app.storage.feed.log import CommitLog
from app.storage.records.instance_row import InstanceRow
from app.storage.table import keys
from app.storage.table.ports import BlobStore, Delete, Item, Key, Table

MARGIN: Final = 1_000_000
"""Watermarks that are passed over: more than any archive gives between a backup and the moment of its loss."""

HIGHEST_MARGIN: Final = 1_000_000_000_000
"""Watermarks have 15 digits. A higher margin would use them up."""

_BATCH: Final = 500
_DOCUMENTS: Final = frozenset(("metadata", "frames"))


@dataclass(slots=True)
class RestoreReport:
    """What was mended. `newer` are the keys of files that are newer than the current version of their row: a bulk
    update wrote them after the moment of the table."""

    forgotten_records: int = 0
    highest_watermark: int = 0
    next_watermark: int = 0
    last_number: int = 0
    indexed: RebuildReport = field(default_factory=RebuildReport)
    newer: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "forgottenRecords": self.forgotten_records,
            "highestWatermark": self.highest_watermark,
            "nextWatermark": self.next_watermark,
            "lastNumber": self.last_number,
            "newerVersions": self.newer,
            **{name: value for name, value in self.indexed.as_json().items() if name != "notRebuilt"},
        }


class RestoredTable:
    """Mends a restored table. No server and no worker may run. `margin` is as in `MARGIN`."""

    def __init__(
        self,
        *,
        table: Table,
        blobs: BlobStore,
        log: CommitLog,
        feed: FeedLog,
        rebuild: Rebuild,
        show: ShowProgress,
        margin: int = MARGIN,
    ) -> None:
        self._table = table
        self._blobs = blobs
        self._log = log
        self._feed = feed
        self._rebuild = rebuild
        self._show = show
        self._margin = margin

    def run(self) -> RestoreReport:
        """Mend the table. A kill -9 at any point leaves a part of it mended. The next run does the rest."""
        report = RestoreReport()
        report.forgotten_records = self._forget_open_records()
        self._raise_watermarks(report)
        report.last_number = self._raise_feed_head()
        by_key = self._rebuild.restore_partitions(report.indexed)
        self._rebuild.index_all(self._without_row(report), by_key, report.indexed)
        return report

    def _forget_open_records(self) -> int:
        """Delete the records of stores that were under way. Their files are indexed like those of later stores."""
        found = [record.key for record in open_records(self._table, self._log)]
        self._table.write_each(map(Delete, found))
        return len(found)

    def _raise_watermarks(self, report: RestoreReport) -> None:
        """Raise the counter above every watermark in the table, by the margin. Each run raises it again."""
        highest = 0
        for number, item in enumerate(self._table.items(), start=1):
            highest = max(highest, watermark_of(item))
            if number % 10_000 == 0:
                self._show("reading the table", number, None)
        counter = self._table.get(keys.WATERMARK_COUNTER)
        present = int(counter.fields["value"]) if counter else 0
        report.highest_watermark = highest
        by = max(highest, present) + self._margin - present
        report.next_watermark = self._table.add(keys.WATERMARK_COUNTER, "value", by) + 1

    def _raise_feed_head(self) -> int:
        """Move the head of the change feed behind its last entry, and return the number of that.

        A copy of a table may have pages that its head does not know. The next commits would replace them.
        """
        head = read_head(self._table)
        after = head
        while beyond := list(self._feed.numbers(after.number + 1, after.number + keys.FEED_BUCKET)):
            number, entry = beyond[-1]
            time = max(after.time, entry.timestamp) if entry else after.time
            after = replace(after, number=number, time=time, hour=keys.hour_of(time))
        if after is not head:
            self._table.write(after.put(head))
        return after.number

    def _without_row(self, report: RestoreReport) -> Iterator[StoredVersions]:
        """Yield the instances whose files no row names, without the files that a deletion has queued for removal."""
        queued = {version.version for work in work_in_flight(self._table, self._log) for version in work.versions}
        instances = stored_versions(self._blobs.listed())
        done = 0
        while batch := list(islice(instances, _BATCH)):
            rows = self._table.get_many([_row_key(each) for each in batch])
            for each, item in zip(batch, rows, strict=True):
                found = _wanted(each, item, queued, report.newer)
                if found:
                    yield found
            done += len(batch)
            self._show("comparing files with rows", done, None)


def _row_key(stored: StoredVersions) -> Key:
    return keys.instance(stored.partition, stored.study, stored.series, stored.instance)


def _wanted(
    stored: StoredVersions, item: Item | None, queued: Container[str], newer: list[str]
) -> StoredVersions | None:
    """Return the files of an instance without a row. Note files that are newer than the version of a row."""
    versions = tuple(each for each in stored.versions if each not in queued)
    if item is None:
        return stored._replace(versions=versions) if versions else None
    row = InstanceRow.of(item, stored.partition, stored.study)
    named = {file.version for file in row.files}
    if not named.issuperset(versions[-1:]):
        newer.append(stored._replace(versions=versions[-1:]).files[0].blob)
    return None


def watermark_of(item: Item) -> int:
    """Return the highest watermark that an item of a partition names, 0 for another item."""
    if not partition_of(item.key):
        return 0
    family = item.key.pk.split("/")[1]
    if family in _DOCUMENTS:
        return keys.NEWEST - int(item.key.sk, 16)
    if family != "study":
        return 0
    pending = item.fields.get("pending")
    file = pending.get("file") if isinstance(pending, dict) else None
    watermarks: Sequence[int] = (
        item.fields.get("created", 0),
        item.fields.get("watermark", 0),
        file.get("watermark", 0) if file else 0,
    )
    return max(watermarks)
