"""Processes that commit changes of instances and read the change feed, each with objects of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.storage.feed.change_feed import FeedLog
from app.storage.feed.entries import FeedEntry
from app.storage.feed.log import CommitLog, CommittedEntry
from app.storage.records.contents import Contents
from app.storage.table import keys
from app.storage.table.partitions import Partition
from app.storage.table.ports import ALL, Item, Put, Range, Table

CLINIC = Partition(key=2, name="clinic", created="", counted=True)


def partition_of(name: str) -> Partition:
    """Return a partition whose name is one letter."""
    return Partition(key=ord(name), name=name, created="", counted=True)


def change(instance: int, action: str = "Create", created: int = 0, study: str = "1.2") -> CommittedEntry:
    """Return the change of an instance. Its first version has the number of the instance as watermark."""
    created = created or instance
    return CommittedEntry(study, "1.3", f"1.4.{instance}", action, created, created)


def number_of(entry: FeedEntry) -> int:
    """Return the number of the instance of an entry."""
    return int(entry.instance.rpartition(".")[2])


class FeedProcess:
    """One process. Two objects on the same table are two processes."""

    def __init__(self, table: Table, shards: int = 1) -> None:
        self.table = table
        self.log = CommitLog(table, shards)
        self.feed = FeedLog(table, self.log)
        self._commits = 0

    def commit(self, *changes: CommittedEntry, partition: Partition = CLINIC) -> None:
        """Make these changes in one commit."""
        self.table.write(self.committed(*changes, partition=partition))

    def committed(self, *changes: CommittedEntry, partition: Partition = CLINIC) -> Put:
        """Return the record of a commit. Each of its changes counts as one instance of one byte."""
        return self.log.committed(partition, changes, Contents(0, len(changes), len(changes)))

    def create(self, *instances: int) -> None:
        """Create each instance in a commit of its own."""
        for instance in instances:
            self.commit(change(instance))

    def create_in(self, names: Iterable[str]) -> None:
        """Create an instance in each of these partitions."""
        for name in names:
            self._commits += 1
            self.commit(change(self._commits), partition=partition_of(name))

    def read(self, after: int = 0, limit: int = 100_000) -> list[int]:
        """Return the instances of a page by sequence. Asserts that it has no gap."""
        found = self.feed.by_sequence(after, limit)
        assert [entry.sequence for entry in found] == list(range(after + 1, after + 1 + len(found)))
        return [number_of(entry) for entry in found]

    def read_by_time(self, start: str = "", end: str = "", offset: int = 0, limit: int = 100_000) -> list[int]:
        """Return the instances of a page by time."""
        return [number_of(entry) for entry in self.feed.by_time(start=start, end=end, offset=offset, limit=limit)]


class CountedTable:
    """Counts the items of the feed that queries yield, and the queries."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.items_read = 0
        self.queries = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._table, name)

    def query(
        self, pk: str, between: Range = ALL, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[Item]:
        self.queries += 1
        for item in self._table.query(pk, between, reverse=reverse, limit=limit):
            self.items_read += pk.startswith("feed/") and pk != keys.FEED_HOURS
            yield item
