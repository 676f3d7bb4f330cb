"""How many studies and instances a partition has, and how many bytes, without a walk over its rows (conformance §2.9).

Each write that creates or removes rows of studies and instances adds the difference to one item of the partition. The
item is in the same all-or-nothing write, so a kill -9 leaves both or neither, and no number is counted twice. Several
items share the numbers of a partition, because writers that change one item at the same time wait for each other on
DynamoDB. A reader adds them up.

The numbers follow the rows. Instances of a large deleted study count until the worker has removed their rows.

The bytes are those of the files as they were stored. The versions that a bulk update wrote are not in them: an update
becomes current by one write for a whole study, whatever its size, and that write cannot know all sizes.
"""

from __future__ import annotations

from typing import Final

from app.storage.index.counts import SHARDS
from app.storage.records.contents import Contents as Contents
from app.storage.records.instance_row import InstanceRow
from app.storage.table import keys
from app.storage.table.partitions import Partition
from app.storage.table.ports import Add, Change, Table

CHANGES: Final = 1
"""The changes that a write has for the statistics."""


def additions(partition: Partition, contents: Contents, watermark: int = 0) -> list[Change]:
    """Return the change that adds to the statistics of a partition. A partition of 0.1.0 has no statistics.

    Writers that run at the same time have watermarks near each other. So they change different items, as
    in `counts.py`.
    """
    if not partition.counted:
        return []
    return [Add(keys.statistics(partition.key, watermark % SHARDS), contents._asdict())]


def stored_size(row: InstanceRow) -> int:
    """Return the bytes of the file that a client stored."""
    return row.original.size if row.original else row.size


class PartitionStatistics:
    """Reads the statistics of partitions."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def of(self, partition: Partition) -> Contents | None:
        """Return the contents of a partition, None for a partition of 0.1.0. This is one query of small items."""
        if not partition.counted:
            return None
        items = [item.fields for item in self._table.query(keys.statistics_items(partition.key))]
        return Contents(*(sum(each.get(name, 0) for each in items) for name in Contents._fields))
