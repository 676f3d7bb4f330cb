"""Rights: the actions that a caller may do, and the partitions where it may do them (conformance §13.3)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Final

from app.storage.table.partitions import PartitionFilter, is_name


class Action(Enum):
    """What a caller does with the data. The values are the names in role definitions (Microsoft's six, then ours)."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    EXPORT = "export"
    MANAGE_EXTENDED_QUERY_TAGS = "manageExtendedQueryTags"
    ALL = "*"
    MANAGE_PARTITIONS = "managePartitions"
    MANAGE_ACCESS = "manageAccess"
    READ_AUDIT = "readAudit"


DATA_ACTIONS: Final = frozenset({Action.READ, Action.WRITE, Action.DELETE, Action.EXPORT})
"""The actions on the data of a partition. The other actions count only when they are granted on all partitions."""

ALL_PARTITIONS: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Actions in some partitions, perhaps until some time.

    A pattern in `partitions` is the name of a partition, the beginning of names and a star, or `*` alone. Names are
    equal if they differ only in case. `expires` is in seconds since 1970; None: never.
    """

    actions: frozenset[Action]
    partitions: tuple[str, ...]
    expires: float | None = None

    def allows(self, action: Action) -> bool:
        return action in self.actions or Action.ALL in self.actions

    def is_global(self) -> bool:
        return ALL_PARTITIONS in self.partitions

    def covers(self, name: str) -> bool:
        """Return whether the grant is for the partition with this name."""
        return covers(self.partitions, name)


def covers(patterns: Iterable[str], name: str) -> bool:
    """Return whether one of the patterns is for the partition with this name (`Grant.partitions`)."""
    return any(_matches(pattern.lower(), name.lower()) for pattern in patterns)


def is_pattern(text: str) -> bool:
    """Return whether this may be a pattern of `Grant.partitions`."""
    return text == ALL_PARTITIONS or is_name(text.removesuffix("*"))


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


@dataclass(frozen=True, slots=True)
class Rights:
    """The grants of a caller, united. A grant counts until it expires."""

    grants: tuple[Grant, ...] = ()

    def allows(self, action: Action, partition: str) -> bool:
        """Return whether the caller may do one of the `DATA_ACTIONS` in the partition with this name."""
        return any(grant.allows(action) and grant.covers(partition) for grant in self._valid())

    def allows_somewhere(self, action: Action) -> bool:
        """Return whether the caller may do one of the `DATA_ACTIONS` in any partition, perhaps one that is not there
        yet. A role whose scopes are outside of its grant has no partition."""
        return any(grant.allows(action) and grant.partitions for grant in self._valid())

    def allows_everywhere(self, action: Action) -> bool:
        """Return whether the caller may do the action in all partitions: a grant on `*` has it."""
        return any(grant.allows(action) and grant.is_global() for grant in self._valid())

    def sees(self, partition: str) -> bool:
        """Return whether the caller may do anything with the data of the partition. If not, it does not exist."""
        return any(self.allows(action, partition) for action in DATA_ACTIONS)

    def visible_patterns(self) -> frozenset[str]:
        """Return the patterns in lower case of the partitions that `sees` is true for (`Grant.partitions`)."""
        seen = (grant for grant in self._valid() if any(map(grant.allows, DATA_ACTIONS)))
        return frozenset(pattern.lower() for grant in seen for pattern in grant.partitions)

    def filter(self, action: Action) -> PartitionFilter | None:
        """Return which partitions the caller may do one of the `DATA_ACTIONS` in. None: in all of them."""
        if self.allows_everywhere(action):
            return None
        return cache(lambda name: self.allows(action, name))

    def __or__(self, other: Rights) -> Rights:
        return Rights(self.grants + other.grants)

    def _valid(self) -> Iterable[Grant]:
        now = time.time()
        return (grant for grant in self.grants if grant.expires is None or now < grant.expires)


ALL_RIGHTS: Final = Rights((Grant(actions=frozenset({Action.ALL}), partitions=(ALL_PARTITIONS,)),))
