"""`extendedquerytags`: attributes that an administrator makes searchable (conformance §8.1)."""

from __future__ import annotations

from typing import Any, Final

from flask import Response

from app.errors import OperationActive
from app.services.access.rights import Action
from app.services.tags.rules import TagRequest
from app.services.tags.service import QueryTagEntry
from app.storage.tags.query_tags import ADDING, TagError
from app.web import problems
from app.web.request.body_kinds import JsonBody
from app.web.response.responses import JSON, accepted, empty, json
from app.web.routes.operations import utc
from app.web.routing.context import Context
from app.web.routing.features import require_operations
from app.web.routing.route import Resource, Scope
from app.web.schemas.extended_query_tags import QUERY_STATUS, TAGS
from app.web.schemas.parameters import PAGE

MAX_BYTES: Final = 1024 * 1024
"""Bytes of a request. A request for as many tags as the archive can hold is much shorter."""

resource = Resource("extended_query_tags")


@resource.route(
    "POST",
    "/extendedquerytags",
    scope=Scope.BASE,
    action=Action.MANAGE_EXTENDED_QUERY_TAGS,
    audit="add-extended-query-tag",
    check_enabled=require_operations,
    body=JsonBody(TAGS, MAX_BYTES),
    answers={202: (JSON,)},
)
def add(context: Context, body: list[TagRequest]) -> Response:
    """202 with the operation that makes the tags ready; 409 with the operation that runs already, if there is one."""
    try:
        operation = context.services.query_tags.add(context.caller, body)
    except OperationActive as active:
        response = problems.text(str(active), active.status)
        response.headers["Location"] = context.links.operation(active.id)
        return response
    context.audit.operation = operation
    return accepted(operation, context.links.operation(operation))


@resource.route(
    "GET",
    "/extendedquerytags",
    scope=Scope.BASE,
    action=Action.READ,
    audit="get-all-extended-query-tag",
    query=PAGE,
    answers={200: (JSON,)},
)
def listed(context: Context, parameters: dict[str, int]) -> Response:
    """200 with a page of the tags, the oldest first."""
    return json([_tag(context, each) for each in context.services.query_tags.page(context.caller, **parameters)])


@resource.route(
    "GET",
    "/extendedquerytags/<path>",
    scope=Scope.BASE,
    action=Action.READ,
    audit="get-extended-query-tag",
    answers={200: (JSON,)},
)
def found(context: Context, path: str) -> Response:
    """200 with the tag."""
    return json(_tag(context, context.services.query_tags.find(context.caller, path)))


@resource.route(
    "PATCH",
    "/extendedquerytags/<path>",
    scope=Scope.BASE,
    action=Action.MANAGE_EXTENDED_QUERY_TAGS,
    audit="update-extended-query-tag",
    body=JsonBody(QUERY_STATUS, MAX_BYTES),
    answers={200: (JSON,)},
)
def patch(context: Context, path: str, body: str) -> Response:
    """200 with the tag after the change."""
    return json(_tag(context, context.services.query_tags.patch(context.caller, path, body)))


@resource.route(
    "DELETE",
    "/extendedquerytags/<path>",
    scope=Scope.BASE,
    action=Action.MANAGE_EXTENDED_QUERY_TAGS,
    audit="remove-extended-query-tag",
    answers={204: ()},
)
def delete(context: Context, path: str) -> Response:
    """204; no later request finds the tag."""
    context.services.query_tags.delete(path, started_by=context.caller.identity)
    return empty(204)


@resource.route(
    "GET",
    "/extendedquerytags/<path>/errors",
    scope=Scope.BASE,
    action=Action.READ,
    audit="get-extended-query-tag-errors",
    patient_data=True,
    query=PAGE,
    answers={200: (JSON,)},
)
def errors(context: Context, path: str, parameters: dict[str, int]) -> Response:
    """200 with a page of the instances that could not be indexed by the tag, the oldest error first."""
    return json([_error(each) for each in context.services.query_tags.errors(context.caller, path, **parameters)])


def _tag(context: Context, view: QueryTagEntry) -> dict[str, Any]:
    tag = view.tag
    members: dict[str, Any] = {"path": tag.path, "vr": tag.vr}
    if tag.creator:
        members["privateCreator"] = tag.creator
    members |= {"level": tag.level.word, "status": tag.status, "queryStatus": tag.query_status}
    if view.errors:
        members["errors"] = {
            "count": view.errors,
            "href": context.links.url(f"/extendedquerytags/{tag.path}/errors"),
        }
    if tag.status == ADDING:
        members["operation"] = {"id": tag.operation, "href": context.links.operation(tag.operation)}
    return members


def _error(error: TagError) -> dict[str, str]:
    return {
        "partitionName": error.partition_name,
        "studyInstanceUid": error.study,
        "seriesInstanceUid": error.series,
        "sopInstanceUid": error.instance,
        "createdTime": utc(error.created),
        "errorMessage": error.message,
    }
