"""The pages of background operations: the list, and one with its progress (conformance §9.1, §15.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from flask import Response
from marshmallow import EXCLUDE, Schema, ValidationError, fields

from app.errors import NotFound
from app.services.access.rights import Action
from app.storage.operations.operations import CANCELED, FAILED, NOT_STARTED, RUNNING, SUCCEEDED, Operation
from app.web.routing.context import Context
from app.web.routing.features import require_site
from app.web.routing.route import Scope
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page

TYPES: Final = {"reindex": "Re-index", "export": "Export", "update": "Bulk update"}
STATUSES: Final = {
    NOT_STARTED: ("Waiting", ""),
    RUNNING: ("Running", "accent"),
    SUCCEEDED: ("Succeeded", "success"),
    FAILED: ("Failed", "error"),
    CANCELED: ("Canceled", "warning"),
}
"""The words of a status, and the class of its badge."""

RESULTS: Final = {
    "studyProcessed": "Studies processed",
    "studyUpdated": "Studies updated",
    "studyFailed": "Studies failed",
    "instanceUpdated": "Instances updated",
    "exported": "Files exported",
    "skipped": "Files skipped",
    "errorHref": "Error log",
    "errors": "Errors",
}
"""The words of a result (conformance §9.3)."""

_ID: Final = re.compile("[0-9a-f]{32}")
_PLACE: Final = re.compile(r"[0-9T:.+-]{10,40}/[0-9a-f]{32}", re.ASCII)

resource = pages("operations")


class _PlaceParameter(fields.Field[str]):
    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> str:
        if value and not _PLACE.fullmatch(value):
            raise ValidationError(f"The value '{value}' is not the place of an operation.")
        return value


class _ListParameters(Schema):
    before = _PlaceParameter(data_key="before", load_default="")


@resource.route(
    "GET",
    "/ui/operations",
    scope=Scope.PAGE,
    action=None,
    audit="operation",
    patient_data=True,
    query=_ListParameters(unknown=EXCLUDE),
    check_enabled=require_site,
    answers={200: (PAGE,)},
)
def operations(context: Context, parameters: Mapping[str, str]) -> Response:
    """200 with a page of the operations that the caller may read, the newest first."""
    found = context.services.operations.listed(context.caller, **parameters)
    return page(
        "operations.html",
        title="Operations",
        operations=[_described(each) for each in found.operations],
        older=found.older,
        is_first=not parameters["before"],
    )


@resource.route(
    "GET",
    "/ui/operations/<operation>",
    scope=Scope.PAGE,
    action=None,
    audit="operation",
    patient_data=True,
    check_enabled=require_site,
    answers={200: (PAGE,)},
)
def operation(context: Context, operation: str) -> Response:
    """200 with the state of the operation; 404 if it does not exist for the caller."""
    found = None
    if _ID.fullmatch(operation):
        context.audit.operation = operation
        found = context.services.operations.find(context.caller, operation)
    if found is None:
        raise NotFound("operation")
    rights = context.caller.rights
    sees_tags = rights.allows_somewhere(Action.READ)
    shown = _described(found)
    return page("operation.html", title=shown["type"], operation=shown, sees_tags=sees_tags, words=_words())


def _described(operation: Operation) -> dict[str, Any]:
    status, kind = STATUSES.get(operation.status, (operation.status, ""))
    return {
        "id": operation.id,
        "type": TYPES.get(operation.type, operation.type),
        "status": status,
        "badge": kind,
        "percent": operation.percent,
        "created": operation.created,
        "updated": operation.updated,
        "partition": operation.partition,
        "ended": operation.ended,
        "resources": operation.resources,
        "results": [(RESULTS.get(name, name), value) for name, value in operation.results.items() if value != []],
    }


def _words() -> dict[str, str]:
    """Return the words of each status by its name in the API, for the script that follows the progress."""
    return {name: words for name, (words, _) in STATUSES.items()}
