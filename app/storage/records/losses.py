"""Lost objects: the index names them, but the table or the blob store does not have them any more."""

from __future__ import annotations

from threading import Lock
from typing import Final

import structlog

from app.errors import LostData
from app.storage.records.rows import InstanceRow
from app.storage.records.snapshot import Snapshot
from app.storage.table.ports import Table

FILE: Final = "file"
METADATA: Final = "metadata document"
FRAME_TABLE: Final = "frame table"

_MAX_REMEMBERED: Final = 100_000
"""Lost objects that are remembered, so that each counts once. Further ones do not raise the count."""

_log = structlog.get_logger("bulkhead.losses")


class LostObjects:
    """Distinguishes lost objects from deleted ones. Logs and counts the lost ones for the health check.

    There is one instance for each process, and it starts with a count of 0.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._lock = Lock()
        self._seen: set[tuple[int, str, str]] = set()

    @property
    def count(self) -> int:
        """The number of different lost objects that this process has met since it started."""
        return len(self._seen)

    def current_row(self, row: InstanceRow, missing: str) -> InstanceRow | None:
        """Return the instance in its present version, which is another one; None if it was deleted meanwhile.

        Call this when an object of the instance is missing: `missing` is FILE, METADATA or FRAME_TABLE. Raises
        `LostData` if the index still names the version of `row`, because then the object must exist. This is one read.
        """
        uids = (row.study, row.series, row.instance)
        snapshot = Snapshot.read(self._table, row.partition, [uids])
        if not snapshot.exists(uids):
            return None
        stored = snapshot.instances[uids]
        if any(file.version == row.version for file in stored.files):
            raise self._lost(row, missing)
        return snapshot.visible_instance(uids) if stored.created == row.created else None  # deleted, and stored again

    def _lost(self, row: InstanceRow, missing: str) -> LostData:
        """Log and count a lost object. The log line has UIDs, which name no patient."""
        _log.error(
            "stored object lost",
            object=missing,
            partition=row.partition,
            study=row.study,
            series=row.series,
            instance=row.instance,
            version=row.version,
        )
        with self._lock:
            if len(self._seen) < _MAX_REMEMBERED:
                self._seen.add((row.partition, row.version, missing))
        return LostData(missing, row.study, row.series, row.instance)
