"""The partition that a request names (conformance §2.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Final, NamedTuple

from app.errors import DataPartitionsFeatureCannotBeDisabledException, PartitionError
from app.services.access.caller import Caller
from app.storage.index.statistics import PartitionStatistics
from app.storage.table.partitions import OnCreate, Partition, Partitions, is_name
from app.storage.table.ports import Range, starting

# The texts of Microsoft's public page. Its code has other texts for the first and the last (conformance §2.8).
DISABLED: Final = "Data partitions capability is disabled."
MISSING: Final = "PartitionName value is missing in the route segment."
INVALID: Final = "The specified PartitionName is invalid."
UNKNOWN: Final = "Specified PartitionName {name} doesn't exist."

_BEFORE_NAMES: Final = "!"
"""A character that sorts before all characters of names."""


class PartitionPage(NamedTuple):
    """Some partitions, and whether more follow."""

    partitions: list[Partition]
    more: bool


class PartitionDirectory:
    """Finds the partition of a URL.

    `enabled` is the setting for partitions. Raises `DataPartitionsFeatureCannotBeDisabledException` if it is off and
    there is more than one partition.
    """

    def __init__(self, partitions: Partitions, statistics: PartitionStatistics, *, enabled: bool) -> None:
        self.enabled = enabled
        self.statistics: Final = statistics
        self._partitions = partitions
        self._default = partitions.seed()
        if not enabled and partitions.count() > 1:
            raise DataPartitionsFeatureCannotBeDisabledException

    def listed(self, caller: Caller, prefix: str = "") -> Iterator[Partition]:
        """Return the partitions that exist for the caller, in the order of their keys.

        Only names that begin with `prefix` count, without regard to case.
        """
        if not self.enabled:
            raise PartitionError(DISABLED)
        return self._partitions.in_key_order(_ranges(caller.rights.visible_patterns(), prefix.lower(), ""))

    def page(self, caller: Caller, *, prefix: str = "", after: str = "", limit: int) -> PartitionPage:
        """Return the partitions that exist for the caller, in the order of their names without regard to case.

        Only names that begin with `prefix` and come after the name `after` count. The reads follow the length of the
        page and the number of the caller's grants, not the number of partitions.
        """
        if not self.enabled:
            raise PartitionError(DISABLED)
        ranges = _ranges(caller.rights.visible_patterns(), prefix.lower(), after.lower())
        found = chain.from_iterable(self._partitions.by_name(each, limit + 1) for each in ranges)
        partitions = list(islice(found, limit + 1))
        return PartitionPage(partitions[:limit], len(partitions) > limit)

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


def _ranges(patterns: Iterable[str], prefix: str, after: str) -> list[Range]:
    """Return the ranges of names that match a pattern, begin with `prefix` and come after `after`, in their order.

    No two ranges overlap: patterns that end in a star contain each other, or have nothing in common.
    """
    lowest = f"{after}{_BEFORE_NAMES}" if after else ""
    ranges: list[Range] = []
    found = filter(None, (_range(pattern, prefix) for pattern in patterns))
    for low, high in sorted(found, key=lambda each: (each.low, each.low == each.high)):
        last = ranges[-1].high if ranges else ""
        if high > last and high >= lowest:
            ranges.append(Range(max(low, lowest), high))
    return ranges


def _range(pattern: str, prefix: str) -> Range | None:
    """Return the names that match a pattern and begin with `prefix`, None if there can be none."""
    beginning = pattern.removesuffix("*")
    if beginning.startswith(prefix):
        return starting(beginning) if pattern.endswith("*") else Range(pattern, pattern)
    return starting(prefix) if pattern.endswith("*") and prefix.startswith(beginning) else None


def unknown(name: str) -> PartitionError:
    """Return the error for a partition that does not exist. `name` is as the request spells it."""
    return PartitionError(UNKNOWN.format(name=name))
