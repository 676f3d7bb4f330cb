"""The audit lines of operations in the background: what was done, and who asked for it (conformance §13.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.services.audit.call import AuditedCall, stored_caller
from app.services.audit.trail import AuditTrail
from app.storage.operations.operations import SUCCEEDED, Operation

EVENTS: Final[Mapping[str, str]] = {"update": "update-study-operation"}
"""Events of types of operations that have a name of their own. The others are named as `export-operation`."""

_COUNTS: Final = ("instanceUpdated", "exported")
"""Members of the results with the number of instances."""

_SUCCEEDED, _FAILED = 200, 400


class OperationAudit:
    """Writes a line before the first step of an operation, and one before its end is saved.

    A step that is repeated after a crash writes its line again. No line is left out.
    """

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    def beginning(self, operation: Operation) -> None:
        """Write the line before the first step. Raises `AuditUnavailable`: then the step must not run."""
        self._trail.executing(_call(operation))

    def ending(self, operation: Operation) -> None:
        """Write the line of an operation that ends, with status 200 or 400. Raises `AuditUnavailable`."""
        self._trail.executed(_call(operation), _SUCCEEDED if operation.status == SUCCEEDED else _FAILED)


def _call(operation: Operation) -> AuditedCall:
    call = AuditedCall(
        event=EVENTS.get(operation.type, f"{operation.type}-operation"),
        caller=stored_caller(operation.started_by),
        partition=operation.partition,
        operation=operation.id,
        request_id=operation.request_id,
        count=next((operation.results[name] for name in _COUNTS if name in operation.results), None),
    )
    call.add_studies(operation.request.get("studies", ()))
    return call
