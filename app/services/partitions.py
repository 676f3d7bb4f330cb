"""The partition that a request names (conformance §2.4)."""

from __future__ import annotations

from typing import Final

from app.errors import DataPartitionsFeatureCannotBeDisabledException, PartitionError
from app.services.access.caller import Caller
from app.storage.table.partitions import OnCreate, Partition, Partitions, is_name

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

    def listed(self, caller: Caller) -> list[Partition]:
        """Return the partitions that exist for the caller, in key order."""
        if not self.enabled:
            raise PartitionError(DISABLED)
        return [each for each in self._partitions.listed() if caller.rights.sees(each.name)]

    def name_of(self, name: str | None) -> str:
        """Return the name of the partition that a URL means; `name` is None in the base form of a URL.

        Raises `PartitionError` if the form of the URL does not fit the setting, or if the name is not allowed. Nothing
        is read.
        """
        if name is None:
            if self.enabled:
                raise PartitionError(MISSING)
            return self._default.name
        if not self.enabled:
            raise PartitionError(DISABLED)
        if not is_name(name):
            raise PartitionError(INVALID)
        return name

    def resolve(self, name: str, *, create: bool, on_create: OnCreate = lambda _: None) -> Partition:
        """Return the partition with a name that `name_of` returned.

        `create` makes a partition that does not exist yet, and passes it to `on_create`. Raises `PartitionError` if
        there is no such partition.
        """
        if name == self._default.name:
            return self._default
        partition = self._partitions.ensure(name, on_create) if create else self._partitions.find(name)
        if partition is None:
            raise unknown(name)
        return partition


def unknown(name: str) -> PartitionError:
    """Return the error for a partition that does not exist. `name` is as the request spells it."""
    return PartitionError(UNKNOWN.format(name=name))
