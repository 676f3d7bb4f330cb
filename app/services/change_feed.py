"""The change feed as a client reads it: entries with their state and metadata at the time of reading (conformance §10.3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from app.storage.feed.change_feed import FeedEntry, FeedLog
from app.storage.index.instances import Instances
from app.storage.records.documents import Documents
from app.storage.records.rows import InstanceRow


class FeedEntryView(NamedTuple):
    """One change. `state` is Current, Replaced or Deleted; `metadata` DICOM JSON of the current version, if wanted."""

    sequence: int
    partition_name: str
    study: str
    series: str
    instance: str
    action: str
    timestamp: str
    state: str
    metadata: bytes | None


class ChangeFeed:
    """Reads the feed by sequence (v1) or by time (v2)."""

    def __init__(self, log: FeedLog, instances: Instances, documents: Documents) -> None:
        self._log = log
        self._instances = instances
        self._documents = documents

    def by_sequence(self, offset: int, limit: int, metadata: bool) -> list[FeedEntryView]:
        """Return the entries with sequence in (offset, offset + limit]."""
        return self._told(self._log.by_sequence(offset, limit), metadata)

    def by_time(self, start: str, end: str, offset: int, limit: int, metadata: bool) -> list[FeedEntryView]:
        """Return up to `limit` entries of start <= time < end, by time then sequence, after skipping `offset`.

        Times as `storage/table/clock.py` writes them; empty for open.
        """
        return self._told(self._log.by_time(start, end, offset, limit), metadata)

    def latest(self, by_time: bool, metadata: bool) -> FeedEntryView | None:
        """Return the newest entry, None while the feed is empty."""
        entry = self._log.latest_by_time() if by_time else self._log.latest()
        return self._told([entry], metadata)[0] if entry else None

    def _told(self, entries: Sequence[FeedEntry], metadata: bool) -> list[FeedEntryView]:
        current: dict[tuple[int, str, str, str], InstanceRow] = {}
        for partition, group in groupby(sorted(entries, key=lambda each: each.partition), lambda each: each.partition):
            found = self._instances.many(partition, ((each.study, each.series, each.instance) for each in group))
            current |= {(partition, *uids): row for uids, row in found.items()}
        documents: dict[int, bytes | None] = {}
        told: list[FeedEntryView] = []
        for entry in entries:
            row = current.get((entry.partition, entry.study, entry.series, entry.instance))
            if metadata and row and row.watermark not in documents:
                documents[row.watermark] = self._documents.metadata(row)
            told.append(
                FeedEntryView(
                    entry.sequence,
                    entry.partition_name,
                    entry.study,
                    entry.series,
                    entry.instance,
                    entry.action,
                    entry.timestamp,
                    _state(entry, row),
                    documents.get(row.watermark) if row else None,
                )
            )
        return told


def _state(entry: FeedEntry, row: InstanceRow | None) -> str:
    """An entry's state follows from the version that is current now (conformance §10.4)."""
    if row is None:
        return "Deleted"
    return "Current" if row.watermark == entry.watermark and entry.action != "Delete" else "Replaced"
