"""The change feed as clients read it: entries with the current state and metadata (conformance §10.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from app.services.access.caller import Caller
from app.services.access.rights import Action
from app.storage.feed.change_feed import FeedLog
from app.storage.feed.entries import FeedEntry
from app.storage.feed.latest_entries import LatestEntries
from app.storage.feed.visible_entries import VisibleEntries
from app.storage.index.instances import Instances
from app.storage.records.documents import Documents
from app.storage.records.rows import InstanceRow
from app.storage.records.snapshot import Uids
from app.storage.table.partitions import PartitionFilter

PartitionNames = frozenset[str] | None
"""Names of partitions in lower case. None: no selection."""


class FeedEntryView(NamedTuple):
    """One change. `state` is Current, Replaced or Deleted.

    `metadata` is the DICOM JSON of the instance's current version, None if it is not wanted or there is none.
    `file_path` is where an operator finds the file of that version. It is None for a deletion, for an instance that is
    deleted, and where paths are not wanted.
    """

    sequence: int
    partition_name: str
    study: str
    series: str
    instance: str
    action: str
    timestamp: str
    state: str
    metadata: bytes | None
    file_path: str | None


class ChangeFeed:
    """Reads the feed by sequence (v1) or by time (v2), as far as the caller may read it.

    `partitions` selects partitions by their names. None selects all. A name that does not exist, or that the caller may
    not read, selects nothing.

    A page is an iterator. One metadata document is in memory at a time, beside the packed ones of one batched read. A
    lost document raises `LostData`. `file_path` returns the path of a blob; None keeps paths out of the feed.
    """

    def __init__(
        self,
        *,
        log: FeedLog,
        visible_entries: VisibleEntries,
        latest_entries: LatestEntries,
        instances: Instances,
        documents: Documents,
        file_path: Callable[[str], str] | None,
    ) -> None:
        self._log = log
        self._visible_entries = visible_entries
        self._latest_entries = latest_entries
        self._instances = instances
        self._documents = documents
        self._file_path = file_path

    def by_sequence(
        self, caller: Caller, *, offset: int, limit: int, metadata: bool, partitions: PartitionNames = None
    ) -> Iterator[FeedEntryView]:
        """Return the visible entries with a sequence in (offset, offset + limit]."""
        visible = _visible(caller, partitions)
        entries = self._log.by_sequence(offset, limit)
        return self._views([each for each in entries if visible is None or visible(each.partition_name)], metadata)

    def by_time(
        self,
        caller: Caller,
        *,
        start: str,
        end: str,
        offset: int,
        limit: int,
        metadata: bool,
        partitions: PartitionNames = None,
    ) -> Iterator[FeedEntryView]:
        """Return up to `limit` visible entries of start <= time < end, by time then sequence, after skipping `offset`.

        Times have the form that `storage/table/clock.py` writes; an empty time is an open end. Raises `ChangeFeedBusy`.
        """
        visible = _visible(caller, partitions)
        if visible is None:
            entries = self._log.by_time(start=start, end=end, offset=offset, limit=limit)
        else:
            entries = self._visible_entries.by_time(start=start, end=end, offset=offset, limit=limit, visible=visible)
        return self._views(entries, metadata)

    def latest(
        self, caller: Caller, *, by_time: bool, metadata: bool, partitions: PartitionNames = None
    ) -> FeedEntryView | None:
        """Return the newest visible entry, None if there is none. Raises `ChangeFeedBusy`."""
        visible = _visible(caller, partitions)
        if visible is not None:
            entry = self._latest_entries.latest(visible, by_time=by_time)
        else:
            entry = self._log.latest_by_time() if by_time else self._log.latest()
        return next(self._views([entry], metadata)) if entry else None

    def changed_partitions(self, caller: Caller, entries: int) -> list[str]:
        """Return the names of the partitions of the newest entries that the caller may read, the newest first.

        At most `entries` entries are read, those that the caller may not read among them.
        """
        newest = self._log.latest()
        if newest is None:
            return []
        visible = _visible(caller, None)
        found = self._log.entries(newest.sequence - entries + 1, newest.sequence)
        names = (each.partition_name for each in reversed(list(found)))
        return list(dict.fromkeys(name for name in names if visible is None or visible(name)))

    def _views(self, entries: Sequence[FeedEntry], metadata: bool) -> Iterator[FeedEntryView]:
        current = self._instances.find_in_partitions(map(_uids, entries))
        rows = [current.get(_uids(entry)) for entry in entries]
        documents = self._documents.each(row for row in rows if row) if metadata else None
        for entry, row in zip(entries, rows, strict=True):
            document = next(documents) if documents and row else None
            if documents and document is None:
                row = None  # deleted after the rows were read
            yield FeedEntryView(
                sequence=entry.sequence,
                partition_name=entry.partition_name,
                study=entry.study,
                series=entry.series,
                instance=entry.instance,
                action=entry.action,
                timestamp=entry.timestamp,
                state=_state(entry, row),
                metadata=document,
                file_path=self._file_path(row.blob) if self._file_path and row and entry.action != "Delete" else None,
            )


def _visible(caller: Caller, partitions: PartitionNames) -> PartitionFilter | None:
    """Return which partitions the caller wants and may read. None: all partitions."""
    readable = caller.rights.filter(Action.READ)
    if partitions is None:
        return readable
    return lambda name: name.lower() in partitions and (readable is None or readable(name))


def _uids(entry: FeedEntry) -> tuple[int, Uids]:
    """Return the partition key, and Study, Series and SOP Instance UID."""
    return entry.partition, (entry.study, entry.series, entry.instance)


def _state(entry: FeedEntry, row: InstanceRow | None) -> str:
    """Return the state of an entry, which follows from the version that is current now (conformance §10.4)."""
    if row is None:
        return "Deleted"
    return "Current" if row.watermark == entry.watermark and entry.action != "Delete" else "Replaced"
