"""`POST /studies` and `POST /studies/{S}`: store instances (conformance §3.1, PS3.18 §10.5)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from flask import Request, Response, request

from app.errors import InvalidRequest, UnsupportedContent
from app.web import media
from app.web.body import Body, open_body
from app.web.context import Scope
from app.web.mount import resource as new
from app.web.multipart import MultipartReader, Part
from app.web.negotiation import DICOM, require_json
from app.web.responses import dicom_json, empty

MULTIPLE_VALUES = "One or more indexed Dicom tag(s) have multiple values, only first value is indexed."

resource = new("store")


@resource.post("/studies")
@resource.post("/studies/<study>")
def store(scope: Scope, study: str | None = None) -> Response:
    """The report of what was stored and what was not; the partition is made if it is new."""
    require_json(request.headers.get("Accept"))
    bodies = instances(request, scope)
    partition = scope.partition(create=True)
    report = scope.services.store(partition, bodies, study, scope.policy)
    if report.empty:
        return empty(204)
    response = dicom_json(report.dataset(scope.link()), report.status)
    if report.multiple_values:
        response.headers["Warning"] = f'299 {request.host or "-"}: "{MULTIPLE_VALUES}"'
    return response


def instances(request: Request, scope: Scope) -> Iterator[Body | Part]:
    """Return a stream for each instance in the request, the first already checked.

    Raises `UnsupportedContent` and `InvalidRequest` by the tables of conformance §3.1, `TooLarge` for what exceeds a limit.
    """
    header = request.headers.get("Content-Type", "")
    name, parameters = media.parse(header)
    settings = scope.settings
    if name == DICOM:
        return iter((_open(request, min(settings.max_request_bytes, settings.max_part_bytes)),))
    if not name.startswith("multipart/"):
        raise UnsupportedContent(f"The specified content type '{header}' is not supported.")
    boundary = parameters.get("boundary")
    if name != "multipart/related" or not boundary:
        raise UnsupportedContent(f"The content type '{header}' is either not multipart or is missing boundary.")
    if "start" in parameters:
        raise InvalidRequest("The start parameter in multipart/related request is not supported.")
    reader = MultipartReader(_open(request, settings.max_request_bytes), boundary, settings.max_part_bytes)
    parts = _checked(reader, parameters.get("type"))
    first = next(parts, None)
    return parts if first is None else chain((first,), parts)


def _open(request: Request, limit: int) -> Body:
    body = open_body(request, limit)
    body.begin()
    return body


def _checked(parts: MultipartReader, root_type: str | None) -> Iterator[Part]:
    """Yield the parts; one that is not `application/dicom`, by its own word or by `type`, refuses the request."""
    for part in parts:
        stated = part.content_type or root_type or ""
        if media.parse(stated).name != DICOM:
            raise UnsupportedContent(f"The specified content type '{stated}' is not supported.")
        yield part
