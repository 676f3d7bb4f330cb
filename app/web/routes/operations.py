"""`GET /operations/{id}`: the state of a background operation (conformance §9.1)."""

from __future__ import annotations

import re
from typing import Any, Final

from flask import Response

from app.errors import InvalidRequest
from app.storage.operations.operations import SUCCEEDED, Operation
from app.web.response.responses import JSON, empty, json
from app.web.routing.context import Context
from app.web.routing.route import Resource, Scope

RETRY_AFTER: Final = "5"
"""Seconds to wait before the next request."""

_PLAIN: Final = r"[0-9a-f]{32}"
_HYPHENS: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_GUID: Final = re.compile(rf"{_PLAIN}|{_HYPHENS}|\{{{_HYPHENS}\}}|\({_HYPHENS}\)", re.IGNORECASE)

resource = Resource("operations")


@resource.route(
    "GET",
    "/operations/<operation>",
    scope=Scope.BASE,
    action=None,
    audit="operation",
    patient_data=True,
    answers={200: (JSON,), 202: (JSON,), 404: ()},
)
def operation(context: Context, operation: str) -> Response:
    """200 with the result, 202 while the operation runs; 404 if it does not exist for the caller."""
    context.audit.operation = _id(operation)
    found = context.services.operations.find(context.caller, context.audit.operation)
    if found is None:
        return empty(404)
    response = json(_operation(context, found), 200 if found.ended else 202)
    if not found.ended:
        response.headers["Location"] = context.links.operation(found.id)
        response.headers["Retry-After"] = RETRY_AFTER
    return response


def _id(text: str) -> str:
    """Return the 32 lower-case digits of a GUID in any usual form. Raises `InvalidRequest`."""
    if not _GUID.fullmatch(text.strip()):
        raise InvalidRequest(f"The operation ID '{text}' is not a GUID.")
    return re.sub(r"[^0-9a-f]", "", text.lower())


def _operation(context: Context, operation: Operation) -> dict[str, Any]:
    status = context.policy.succeeded if operation.status == SUCCEEDED else operation.status
    members = {
        "operationId": operation.id,
        "type": operation.type,
        "createdTime": utc(operation.created),
        "lastUpdatedTime": utc(operation.updated),
        "status": status,
    }
    optional = {
        "percentComplete": operation.percent,
        "resources": [context.links.url(f"/extendedquerytags/{path}") for path in operation.resources] or None,
        "results": dict(operation.results) or None,
    }
    return members | {name: value for name, value in optional.items() if value is not None}


def utc(timestamp: str) -> str:
    """Return a stored time with `Z` as its zone."""
    return timestamp.removesuffix("+00:00") + "Z"
