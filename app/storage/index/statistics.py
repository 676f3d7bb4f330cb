"""How many studies and instances a partition has, and how many bytes, without a walk over its rows (conformance §2.9).

Each write that creates or removes rows of studies and instances puts the difference into its record in the log of
commits. The sequencer adds it to an item of the partition, in the write that moves the record into the change feed
(`storage/feed/sequencer.py`). So a kill -9 leaves both or neither, and no number is counted twice. Archives of layout 4
or older have several items for a partition. A reader adds them up.

The numbers follow the rows. Instances of a large deleted study count until the worker has removed their rows.

The bytes are those of the files as they were stored. The versions that a bulk update wrote are not in them: an update
becomes current by one write for a whole study, whatever its size, and that write cannot know all sizes.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.storage.feed.change_feed import FeedLog
from app.storage.records.contents import Contents
from app.storage.records.instance_row import InstanceRow
from app.storage.table import keys
from app.storage.table.partitions import Partition
from app.storage.table.ports import Table


def stored_size(row: InstanceRow) -> int:
    """Return the bytes of the file that a client stored."""
    return row.original.size if row.original else row.size


class PartitionStatistics:
    """Reads the statistics of partitions."""

    def __init__(self, table: Table, feed: FeedLog) -> None:
        self._table = table
        self._feed = feed

    def of(self, partition: Partition) -> Contents | None:
        """Return the contents of a partition, None for a partition of 0.1.0.

        Every commit that has ended by now counts. This moves the waiting commits into the feed, and is one query of
        small items.
        """
        (contents,) = self.of_each([partition])
        return contents

    def of_each(self, partitions: Sequence[Partition]) -> list[Contents | None]:
        """Do the same for several partitions, with one query for each. The commits are moved once."""
        if any(each.counted for each in partitions):
            self._feed.sequence()
        return [self._sum(each) if each.counted else None for each in partitions]

    def _sum(self, partition: Partition) -> Contents:
        items = [item.fields for item in self._table.query(keys.statistics_items(partition.key))]
        return Contents(*(sum(each.get(name, 0) for each in items) for name in Contents._fields))
