"""The status of background operations, as callers may read it (conformance §9.1)."""

from __future__ import annotations

from typing import Final

from app.errors import OperationActive
from app.services.access.caller import Caller
from app.services.access.rights import Action
from app.storage.operations.operations import Operation, Operations

REINDEX: Final = "reindex"
PUBLIC_TYPES: Final = frozenset({REINDEX, "export", "update"})
"""Types of operations that callers may read. All other types are internal (conformance §9.3)."""


class OperationDirectory:
    """Finds the operations that callers may read."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def find(self, caller: Caller, operation: str) -> Operation | None:
        """Return an operation by its id (32 lower-case hex digits). None if it is unknown, internal or not visible."""
        found = self._operations.get(operation)
        return found if found and is_visible(found, caller) else None


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
