"""Which partition a request is about (conformance §2.4)."""

from __future__ import annotations

from typing import Final

from app.errors import DataPartitionsFeatureCannotBeDisabledException, PartitionError
from app.storage.table.partitions import Partition, Partitions, is_name

# The wording of Microsoft's public page; its code words the first and the last differently (conformance §2.8).
DISABLED: Final = "Data partitions capability is disabled."
MISSING: Final = "PartitionName value is missing in the route segment."
INVALID: Final = "The specified PartitionName is invalid."
UNKNOWN: Final = "Specified PartitionName {name} doesn't exist."


class PartitionDirectory:
    """Resolves the partition of a URL. Refuses to start switched off once there is more than one partition."""

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
        """Return the partition that a URL names, None standing for the base form; made if `create` and it is new.

        Raises `PartitionError`: the feature and the form of the URL disagree, a bad name, or no such partition.
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
