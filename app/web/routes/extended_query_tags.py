"""`extendedquerytags`: attributes that an administrator makes searchable (conformance §8.1)."""

from __future__ import annotations

from typing import Any, Final

from flask import Response, request

from app.errors import OperationActive
from app.services.tags.service import QueryTagEntry
from app.storage.tags.query_tags import ADDING, TagError
from app.web import problems
from app.web.context import Scope
from app.web.json_body import json_body, require_json_body
from app.web.mount import resource as new
from app.web.responses import accepted, empty, json
from app.web.routes.operations import utc
from app.web.schemas import parameters as schemas
from app.web.schemas.body import load_body
from app.web.schemas.extended_query_tags import QUERY_STATUS, TAGS

MAX_BYTES: Final = 1024 * 1024
"""Bytes of a request: far more than all tags there can be."""

resource = new("extended_query_tags")


@resource.post("/extendedquerytags")
def add(scope: Scope) -> Response:
    """202 with the operation that makes the tags ready; 409 with the one under way, if there is one."""
    try:
        operation = scope.services.query_tags.add(load_body(TAGS, _body(scope)))
    except OperationActive as active:
        response = problems.text(str(active), 409)
        response.headers["Location"] = scope.operation_url(active.id)
        return response
    return accepted(operation, scope.operation_url(operation))


@resource.get("/extendedquerytags")
def listed(scope: Scope) -> Response:
    """200 with a page of the tags, oldest first."""
    return json([_told(scope, each) for each in scope.services.query_tags.page(**_page())])


@resource.get("/extendedquerytags/<path>")
def found(scope: Scope, path: str) -> Response:
    """200 with the tag."""
    return json(_told(scope, scope.services.query_tags.find(path)))


@resource.patch("/extendedquerytags/<path>")
def patch(scope: Scope, path: str) -> Response:
    """200 with the tag as it is then."""
    return json(_told(scope, scope.services.query_tags.patch(path, load_body(QUERY_STATUS, _body(scope)))))


@resource.delete("/extendedquerytags/<path>")
def delete(scope: Scope, path: str) -> Response:
    """204: nobody finds the tag any more."""
    scope.services.query_tags.delete(path)
    return empty(204)


@resource.get("/extendedquerytags/<path>/errors")
def errors(scope: Scope, path: str) -> Response:
    """200 with a page of the instances that could not be filed under the tag, oldest error first."""
    return json([_error(each) for each in scope.services.query_tags.errors(path, **_page())])


def _body(scope: Scope) -> Any:
    require_json_body(request)
    return json_body(request, min(MAX_BYTES, scope.settings.max_request_bytes))


def _page() -> dict[str, int]:
    return schemas.load(schemas.PAGE, request.environ.get("QUERY_STRING", ""))


def _told(scope: Scope, listed: QueryTagEntry) -> dict[str, Any]:
    tag = listed.tag
    told: dict[str, Any] = {"path": tag.path, "vr": tag.vr}
    if tag.creator:
        told["privateCreator"] = tag.creator
    told |= {"level": tag.level.word, "status": tag.status, "queryStatus": tag.query_status}
    if listed.errors:
        told["errors"] = {"count": listed.errors, "href": scope.url(f"/extendedquerytags/{tag.path}/errors")}
    if tag.status == ADDING:
        told["operation"] = {"id": tag.operation, "href": scope.operation_url(tag.operation)}
    return told


def _error(error: TagError) -> dict[str, str]:
    return {
        "partitionName": error.partition_name,
        "studyInstanceUid": error.study,
        "seriesInstanceUid": error.series,
        "sopInstanceUid": error.instance,
        "createdTime": utc(error.created),
        "errorMessage": error.message,
    }
