"""`POST /studies` and `POST /studies/{S}`: store instances (conformance §3.1, PS3.18 §10.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Final

from flask import Request, Response, request

from app.errors import InvalidRequest, UnsupportedContent
from app.services.access.rights import Action
from app.settings import Settings
from app.web.negotiation import media
from app.web.negotiation.offers import DICOM
from app.web.request.body import Body, open_body
from app.web.request.multipart import MultipartReader, Part
from app.web.response.responses import DICOM_JSON, dicom_json, empty, related_type
from app.web.response.warning_header import add_warning
from app.web.routing.context import PartitionContext
from app.web.routing.route import Resource

MULTIPLE_VALUES: Final = "One or more indexed Dicom tag(s) have multiple values, only first value is indexed."

resource = Resource("store")


class InstanceBodies:
    """One DICOM file, or several in multipart/related. The handler gets a stream for each instance."""

    media_types = (related_type(DICOM), DICOM)

    def open(self, request: Request, settings: Settings) -> Callable[[], Iterator[Body | Part]]:
        """Check the Content-Type; the returned function opens the streams and checks the first of them.

        Raises `UnsupportedContent` and `InvalidRequest` by the tables of conformance §3.1, `TooLarge` past a limit.
        """
        header = request.headers.get("Content-Type", "")
        name, parameters = media.parse(header)
        if name == DICOM:
            return partial(_single, request, min(settings.max_request_bytes, settings.max_part_bytes))
        if not name.startswith("multipart/"):
            raise UnsupportedContent(f"The specified content type '{header}' is not supported.")
        boundary = parameters.get("boundary")
        if name != "multipart/related" or not boundary:
            raise UnsupportedContent(f"The content type '{header}' is either not multipart or is missing boundary.")
        if "start" in parameters:
            raise InvalidRequest("The start parameter in multipart/related request is not supported.")
        return partial(_parts, request, settings, boundary, parameters.get("type"))


@resource.route(
    "POST",
    "/studies",
    "/studies/<study>",
    action=Action.WRITE,
    audit="store",
    creates_partition=True,
    patient_data=True,
    requires_json=True,
    body=InstanceBodies(),
    answers={200: (DICOM_JSON,), 202: (DICOM_JSON,), 204: (), 409: (DICOM_JSON,)},
)
def store(context: PartitionContext, body: Iterator[Body | Part], study: str | None = None) -> Response:
    """The report on every instance: stored, or refused and why."""
    report = context.services.store(context.partition, body, study, context.policy)
    context.audit.stored(report.stored)
    if report.empty:
        return empty(204)
    response = dicom_json(report.dataset(context.links.resource), report.status)
    if report.multiple_values:
        add_warning(response, request, MULTIPLE_VALUES)
    return response


def _single(request: Request, limit: int) -> Iterator[Body]:
    body = open_body(request, limit)
    # A body of no bytes that the request announces is one instance without bytes, which the report refuses.
    announced = request.content_length is not None or "Transfer-Encoding" in request.headers
    body.begin(may_be_empty=announced)
    return iter((body,))


def _parts(request: Request, settings: Settings, boundary: str, root_type: str | None) -> Iterator[Part]:
    body = open_body(request, settings.max_request_bytes)
    body.begin()
    parts = _dicom_parts(MultipartReader(body, boundary, settings.max_part_bytes), root_type)
    first = next(parts, None)
    return parts if first is None else chain((first,), parts)


def _dicom_parts(parts: MultipartReader, root_type: str | None) -> Iterator[Part]:
    """Yield the parts. A part of another type refuses the request; a part without a type has the `type` of the body."""
    for part in parts:
        stated = part.content_type or root_type or ""
        if media.parse(stated).name != DICOM:
            raise UnsupportedContent(f"The specified content type '{stated}' is not supported.")
        yield part
