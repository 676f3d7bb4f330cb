"""The status of background operations, as callers may read it (conformance §9.1)."""

from __future__ import annotations

from typing import Final

from app.storage.operations.operations import Operation, Operations

PUBLIC_TYPES: Final = frozenset({"reindex", "export", "update"})
"""Types of operations that callers may read. All other types are internal (conformance §9.3)."""


class OperationDirectory:
    """Finds the operations that callers may read."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def find(self, operation: str) -> Operation | None:
        """Return an operation by its id (32 lower-case hex digits). None if it is unknown or internal."""
        found = self._operations.get(operation)
        return found if found and found.type in PUBLIC_TYPES else None
