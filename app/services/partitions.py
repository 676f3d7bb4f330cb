"""The partition that a request names (conformance §2.4)."""

from __future__ import annotations

from typing import Final

from app.errors import DataPartitionsFeatureCannotBeDisabledException, PartitionError
from app.storage.table.partitions import Partition, Partitions, is_name

# The texts of Microsoft's public page. Its code has other texts for the first and the last (conformance §2.8).
DISABLED: Final = "Data partitions capability is disabled."
MISSING: Final = "PartitionName value is missing in the route segment."
INVALID: Final = "The specified PartitionName is invalid."
UNKNOWN: Final = "Specified PartitionName {name} doesn't exist."


class PartitionDirectory:
    """Finds the partition of a URL.

    `enabled` is the setting for partitions. Raises `DataPartitionsFeatureCannotBeDisabledException` if it is off and
    there is more than one partition.
    """

    def __init__(self, partitions: Partitions, *, enabled: bool) -> None:
        self.enabled = enabled
        self._partitions = partitions
        self._default = partitions.seed()
        if not enabled and partitions.count() > 1:
            raise DataPartitionsFeatureCannotBeDisabledException

    def listed(self) -> list[Partition]:
        """Return all partitions in key order."""
        if not self.enabled:
            raise PartitionError(DISABLED)
        return self._partitions.listed()

    def resolve(self, name: str | None, *, create: bool) -> Partition:
        """Return the partition that a URL names; `name` is None in the base form of a URL.

        `create` makes a partition that does not exist yet. Raises `PartitionError` if the form of the URL does not fit
        the setting, if the name is not allowed, or if there is no such partition.
        """
        if name is None:
            if self.enabled:
                raise PartitionError(MISSING)
            return self._default
        if not self.enabled:
            raise PartitionError(DISABLED)
        if not is_name(name):
            raise PartitionError(INVALID)
        partition = self._partitions.ensure(name) if create else self._partitions.find(name)
        if partition is None:
            raise PartitionError(UNKNOWN.format(name=name))
        return partition
