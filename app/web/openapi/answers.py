"""Response Objects: the answers of the handlers by the route table, and the errors by their classes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, ClassVar, Final

from app.errors import (
    AuthorizationFailed,
    BulkheadError,
    InvalidRequest,
    InvalidWorkitem,
    NoCredentials,
    NotAcceptable,
    NotFound,
    RangeNotSatisfiable,
    RequestTimeout,
    StorageError,
    TooLarge,
    UnsupportedContent,
    WorkitemRefused,
)
from app.settings import Settings
from app.web.negotiation.dataset_media_types import accepted_dataset_form
from app.web.openapi.answer_schemas import JsonSchema
from app.web.openapi.descriptions import Description
from app.web.openapi.parameters import negotiates, path_parameters, serves_ranges
from app.web.request.body_kinds import DatasetBody, JsonBody
from app.web.response.responses import DICOM_JSON
from app.web.routing.route import Route

TEXT: Final = "text/plain"
_HEADERS: Final[dict[str, str]] = {
    "ETag": "The entity tag of the answer.",
    "Location": "The URL of the new resource.",
    "Retry-After": "Seconds after which the caller may try again.",
    "WWW-Authenticate": "The schemes of credentials that the service accepts, one header for each.",
    "Content-Range": "The range of the answer, or the size.",
    "Warning": 'Text of a warning: `299 {host}: "{text}"`.',
    "Link": 'The URL of the next page, if more objects match: `<{url}>; rel="next"`.',
}


class InternalError(BulkheadError):
    """The service failed. The log of the service has the reason."""


class AnswerWithoutText:
    """Base of the descriptions of errors that have the status of an error class and no text. Nothing raises them."""

    status: ClassVar[int]
    public_message: ClassVar[str | None] = ""
    headers: ClassVar[Mapping[str, str]] = MappingProxyType({})


class NotAcceptableDataset(AnswerWithoutText):
    """The Accept header admits no form of a dataset (conformance §1.7). The answer has no text."""

    status = NotAcceptable.status


class UnsupportedJson(AnswerWithoutText):
    """The body is not JSON by its Content-Type, and the answer has no text. Or its content coding is unknown."""

    status = UnsupportedContent.status


ErrorClass = type[BulkheadError] | type[AnswerWithoutText]

_COMMON: Final = (InvalidRequest, InternalError, StorageError)
_OF_BODIES: Final = (RequestTimeout, TooLarge)
_OF_CALLERS: Final = (NoCredentials, AuthorizationFailed)
ERRORS: Final[tuple[ErrorClass, ...]] = (
    *(*_COMMON, *_OF_BODIES, *_OF_CALLERS, NotFound, RangeNotSatisfiable),
    *(NotAcceptable, NotAcceptableDataset, UnsupportedContent, UnsupportedJson),
)
"""The errors that are components: each stands for all errors of its status."""


def error_responses() -> dict[str, JsonSchema]:
    """Return the components of the errors, by the names of their classes."""
    return {kind.__name__: _error(kind) for kind in ERRORS}


def responses(route: Route, path: str, description: Description, settings: Settings) -> dict[str, JsonSchema]:
    """Return all answers of a route by status. An answer of the handler counts before an error of the same status."""
    found: dict[int, JsonSchema] = {
        status: _answer(route, status, media_types, description) for status, media_types in route.answers.items()
    }
    for kind in _errors(route, path, settings):
        found.setdefault(kind.status, {"$ref": f"#/components/responses/{kind.__name__}"})
    for kind in description.errors:
        found[kind.status] = _with_text(found.get(kind.status), kind)
    if description.tag == "Workitem":
        found[400] = _error(InvalidWorkitem)
    return {str(status): found[status] for status in sorted(found)}


def _errors(route: Route, path: str, settings: Settings) -> Iterator[ErrorClass]:
    yield from _COMMON
    if not route.public and settings.authenticates:
        yield from _OF_CALLERS
    if path_parameters(path) or route.selected_by or (route.query and "study" in route.query.fields):
        yield NotFound
    if negotiates(route):
        yield NotAcceptableDataset if _answers_with_datasets(route) else NotAcceptable
    if route.body:
        yield from _OF_BODIES
        yield UnsupportedJson if isinstance(route.body, JsonBody | DatasetBody) else UnsupportedContent
    if serves_ranges(route):
        yield RangeNotSatisfiable


def _answers_with_datasets(route: Route) -> bool:
    return route.requires_json or route.read_accept is accepted_dataset_form


def _answer(route: Route, status: int, media_types: tuple[str, ...], description: Description) -> JsonSchema:
    answer: JsonSchema = {"description": HTTPStatus(status).phrase}
    headers = []
    if 304 in route.answers and status in (200, 304):
        headers.append("ETag")
    if status in (201, 202) and route.action is not None and description.tag != "Access" and 409 not in route.answers:
        headers.append("Location")
    if status == 206 and serves_ranges(route):
        headers.append("Content-Range")
    if description.filters and status == 200:
        headers += ["Warning", "Link"]
    if headers:
        answer["headers"] = _described_headers(headers)
    if media_types and status not in description.perhaps_empty:
        answer["content"] = {each: _content(each, description) for each in media_types}
        if status in (400, 404):
            answer["content"][TEXT] = {"schema": {"type": "string"}}
    return answer


def _content(media_type: str, description: Description) -> JsonSchema:
    schema = description.answers.get(media_type)
    if schema is not None:
        return {"schema": schema}
    if media_type.startswith("text/") or media_type.endswith("xml"):
        return {"schema": {"type": "string"}}
    return {"schema": {"type": "string", "format": "binary"}}


def _error(kind: ErrorClass) -> JsonSchema:
    text: dict[str, Any] = {TEXT: {"schema": {"type": "string"}}}
    if issubclass(kind, WorkitemRefused):
        text[DICOM_JSON] = {"schema": {"type": "string"}}
    error: JsonSchema = {"description": _meaning(kind)}
    if kind.public_message != "":
        error["content"] = text
    headers = [*kind.headers]
    if kind.status == 401:
        headers.append("WWW-Authenticate")
    if kind.status == 416:
        headers.append("Content-Range")
    if headers:
        error["headers"] = _described_headers(headers)
    return error


def _meaning(kind: ErrorClass) -> str:
    """Return what the class says about the error, without what it says about its attributes."""
    first = (inspect.getdoc(kind) or "").partition("\n\n")[0]
    sentences = re.split(r"(?<=\.) (?=[A-Z`])", " ".join(first.split()))
    return " ".join(each for each in sentences if not each.startswith("`"))


def _with_text(found: JsonSchema | None, kind: type[BulkheadError]) -> JsonSchema:
    """Return the answer of an error, with the text of another error of the same status, if there is one."""
    error = _error(kind)
    if found is None or "$ref" in found:
        return error
    return {
        **error,
        **found,
        "description": f"{found['description']} {error['description']}",
        "content": found.get("content", {}) | error["content"],
    }


def _described_headers(names: list[str]) -> JsonSchema:
    return {name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in names}
