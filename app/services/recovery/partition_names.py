"""The worker's step that gives each partition the object with its name, for a rebuild of the index."""

from __future__ import annotations

from app.storage.records.partition_objects import PartitionObjects
from app.storage.table.partitions import Partitions


class PartitionNames:
    """Writes the objects that are missing, once after the start of a worker: an earlier release wrote none."""

    def __init__(self, partitions: Partitions, objects: PartitionObjects) -> None:
        self._partitions = partitions
        self._objects = objects
        self._is_done = False

    def run_once(self) -> bool:
        """Write what is missing. Return False: there is never more to do at once. A failure is tried again later."""
        if not self._is_done:
            self._objects.write_missing(self._partitions.listed())
            self._is_done = True
        return False
