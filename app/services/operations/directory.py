"""The status of background operations, as callers may read it (conformance §9.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from app.errors import OperationActive
from app.services.access.caller import Caller
from app.services.access.rights import Action
from app.storage.operations.operations import Operation, Operations

REINDEX: Final = "reindex"
PUBLIC_TYPES: Final = frozenset({REINDEX, "export", "update"})
"""Types of operations that callers may read. All other types are internal (conformance §9.3)."""

PAGE_LENGTH: Final = 50
MAX_EXAMINED: Final = 500
"""Operations that a page of the list looks at, visible or not: as many that run, and as many that ended."""


class OperationPage(NamedTuple):
    """A page of the list. `older` is the place where the next page begins; "" if this is the last one."""

    operations: list[Operation]
    older: str


class OperationDirectory:
    """Finds the operations that callers may read."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def find(self, caller: Caller, operation: str) -> Operation | None:
        """Return an operation by its id (32 lower-case hex digits). None if it is unknown, internal or not visible."""
        found = self._operations.get(operation)
        return found if found and is_visible(found, caller) else None

    def listed(self, caller: Caller, *, before: str = "") -> OperationPage:
        """Return the operations that the caller may read: those that run, then those that ended, the newest first.

        The first page has all that run. A page has up to `PAGE_LENGTH` that ended. `before` is `OperationPage.older` of
        the page before. A list looks at `MAX_EXAMINED` operations at most, so a caller who sees few of many operations
        may miss old ones. The place of an invisible operation is never in the result.
        """
        running = [] if before else list(_visible(self._operations.open(MAX_EXAMINED), caller))
        ended = list(islice(_visible(self._operations.ended(MAX_EXAMINED, before), caller), PAGE_LENGTH + 1))
        older = ended[PAGE_LENGTH - 1].place if len(ended) > PAGE_LENGTH else ""
        return OperationPage([*running, *ended[:PAGE_LENGTH]], older)


def _visible(operations: Iterable[Operation], caller: Caller) -> Iterator[Operation]:
    return (each for each in operations if is_visible(each, caller))


def is_visible(operation: Operation, caller: Caller) -> bool:
    """Return whether an operation exists for the caller (conformance §9.1).

    A record of an older release has neither its starter nor its partition. Whoever may read everything sees it.
    """
    rights = caller.rights
    if operation.type not in PUBLIC_TYPES:
        return False
    if operation.started_by and operation.started_by == caller.identity:
        return True
    if operation.type == REINDEX:
        return rights.allows_somewhere(Action.READ) or rights.allows_everywhere(Action.MANAGE_EXTENDED_QUERY_TAGS)
    if operation.partition:
        return rights.allows(Action.READ, operation.partition)
    return rights.allows_everywhere(Action.READ)


def refusal(active: OperationActive, operations: Operations, caller: Caller) -> OperationActive:
    """Return the error for an operation that must wait for `active`. It names the other one if the caller sees it."""
    other = operations.get(active.id)
    return active if other and is_visible(other, caller) else OperationActive("", active.type)
