"""Rendered representations and thumbnails (conformance §4.10, PS3.18 §10.4.1.1.3, §10.4.1.1.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final

from flask import Response, request

from app.errors import ImageFailure, InvalidParameter, InvalidRequest, NotAcceptable
from app.imaging.documents.kinds import HTML
from app.imaging.rendering.parameters import RenderingParameters
from app.services.access.rights import Action
from app.services.retrieve.renderers import GIF, IMAGE_TYPES, JPEG, PROFILED_TYPES
from app.services.retrieve.rendering import Rendering, Rendition
from app.storage.records.rows import InstanceRow
from app.web.negotiation.offers import UNACCEPTABLE
from app.web.negotiation.rendered_media_types import (
    RENDERED_TYPES,
    AcceptedTypes,
    Choice,
    accepted_thumbnail_types,
    accepted_types,
)
from app.web.request.frame_list import FRAMES_RULE, SINGLE_PART_RULE, frame_numbers
from app.web.response import responses
from app.web.response.content_policy import restrict_content
from app.web.response.entity_tags import has_current
from app.web.response.responses import BodyPart, related_type
from app.web.response.warning_header import add_warning
from app.web.routing.context import PartitionContext
from app.web.routing.route import INSTANCE_PATH, SERIES_PATH, STUDY_PATH, Resource
from app.web.schemas.rendered import RENDERED_PARAMETERS, THUMBNAIL_PARAMETERS

_TEXT: Final = "text/plain; charset=utf-8"

resource = Resource("rendered")
resource.after_request = restrict_content

_COMMON: Final[dict[str, Any]] = {"action": Action.READ, "audit": "retrieve-rendered", "patient_data": True}
_RENDERED: Final[dict[str, Any]] = {
    "read_accept": accepted_types,
    "query": RENDERED_PARAMETERS,
    "answers": {200: (*RENDERED_TYPES, *map(related_type, RENDERED_TYPES)), 206: RENDERED_TYPES, 304: ()},
    **_COMMON,
}
_THUMBNAIL: Final[dict[str, Any]] = {
    "read_accept": accepted_thumbnail_types,
    "query": THUMBNAIL_PARAMETERS,
    "answers": {200: IMAGE_TYPES, 206: IMAGE_TYPES, 304: ()},
    **_COMMON,
}


@resource.route("GET", f"{STUDY_PATH}/rendered", f"{SERIES_PATH}/rendered", f"{INSTANCE_PATH}/rendered", **_RENDERED)
def rendered(
    context: PartitionContext,
    accepted: AcceptedTypes,
    parameters: dict[str, Any],
    study: str,
    series: str | None = None,
    instance: str | None = None,
) -> Response:
    """Every instance within multipart/related, or one that stands for the others."""
    rendering, wanted = context.services.rendering, parameters["rendering"]
    rows = context.services.retrieve.instances(context.partition, study, series, instance)
    row = rendering.representative(rows, lambda each: accepted.choice(rendering.media_types(each)) is not None)
    choice = _choice(rendering, accepted, row)
    if choice.multipart:
        choices = ((each, accepted.choice(rendering.media_types(each), multipart=True)) for each in rows)
        renditions = (partial(_rendition, context, each, (), part, wanted) for each, part in choices if part)
        response = _multipart(context, choice.media_type, renditions)
    else:
        response = _single(rendering, _rendition(context, row, (), choice, wanted))
    return _with_warning(response, parameters)


@resource.route("GET", f"{INSTANCE_PATH}/frames/<frames>/rendered", **_RENDERED)
def rendered_frames(
    context: PartitionContext,
    accepted: AcceptedTypes,
    parameters: dict[str, Any],
    study: str,
    series: str,
    instance: str,
    frames: str,
) -> Response:
    """One frame, or several within multipart/related or in one animation."""
    numbers = tuple(frame_numbers(frames))
    rendering, wanted = context.services.rendering, parameters["rendering"]
    (row,) = context.services.retrieve.instances(context.partition, study, series, instance)
    choice = _choice(rendering, accepted, row)
    if choice.multipart or (len(numbers) > 1 and choice.media_type != GIF and accepted.anything):
        rendering.check_frames(row, numbers)
        renditions = (partial(_rendition, context, row, (number,), choice, wanted) for number in numbers)
        response = _multipart(context, choice.media_type, renditions)
    elif len(numbers) > 1 and choice.media_type != GIF:
        raise InvalidRequest(SINGLE_PART_RULE)
    else:
        response = _single(rendering, _rendition(context, row, numbers, choice, wanted))
    return _with_warning(response, parameters)


@resource.route(
    "GET", f"{STUDY_PATH}/thumbnail", f"{SERIES_PATH}/thumbnail", f"{INSTANCE_PATH}/thumbnail", **_THUMBNAIL
)
@resource.route("GET", f"{INSTANCE_PATH}/frames/<frames>/thumbnail", **_THUMBNAIL)
def thumbnail(
    context: PartitionContext,
    accepted: AcceptedTypes,
    parameters: dict[str, Any],
    study: str,
    series: str | None = None,
    instance: str | None = None,
    frames: str | None = None,
) -> Response:
    """A small picture of the object, or of the instance that stands for it."""
    numbers = [None] if frames is None else frame_numbers(frames)
    if len(numbers) > 1:
        raise InvalidRequest(FRAMES_RULE)
    rendering = context.services.rendering
    rows = context.services.retrieve.instances(context.partition, study, series, instance)
    row = rendering.representative(rows, lambda row: True)
    choice = accepted.choice(IMAGE_TYPES, multipart=False)
    if choice is None:
        raise NotAcceptable(UNACCEPTABLE)
    return _single(rendering, rendering.thumbnail(row, numbers[0], choice.media_type, parameters["viewport"]))


def one_rendition(
    context: PartitionContext,
    row: InstanceRow,
    frames: tuple[int, ...],
    media_type: str,
    parameters: dict[str, Any],
) -> Response:
    """Return an instance, or some of its frames, in one media type. The caller chose it: `media_types` names it."""
    rendition = _rendition(context, row, frames, Choice(media_type, multipart=False), parameters["rendering"])
    return _with_warning(_single(context.services.rendering, rendition), parameters)


def _choice(rendering: Rendering, accepted: AcceptedTypes, row: InstanceRow) -> Choice:
    """Return how an instance is rendered. Raises `NotAcceptable`, with what the instance is, if it cannot be."""
    types = rendering.media_types(row)
    if not types:
        rendering.content(rendering.rendition(row, (), JPEG, RenderingParameters()))  # its failure says why
    choice = accepted.choice(types)
    if choice is None:
        raise NotAcceptable(
            f"{UNACCEPTABLE}: The instance is {rendering.kind(row)}. It can be rendered as {', '.join(types)}."
        )
    return choice


def _rendition(
    context: PartitionContext, row: InstanceRow, frames: tuple[int, ...], choice: Choice, wanted: RenderingParameters
) -> Rendition:
    if wanted.icc_profile not in (None, "no") and choice.media_type not in PROFILED_TYPES:
        raise InvalidParameter("iccprofile", f"No ICC profile can be embedded in {choice.media_type}.")
    if choice.media_type == HTML:
        wanted = replace(wanted, partition_url=context.links.url(""))
    return context.services.rendering.rendition(row, frames, choice.media_type, wanted)


def _with_warning(response: Response, parameters: dict[str, Any]) -> Response:
    unknown = parameters["unknown_annotations"]
    if unknown:
        add_warning(response, request, f"The following annotation values are not supported: {', '.join(unknown)}")
    return response


def _single(rendering: Rendering, rendition: Rendition) -> Response:
    """Return one representation; 304 without rendering it if the caller has it already."""
    if has_current(request.if_none_match, rendition.tag):
        response = responses.empty(304)
    else:
        content = rendering.content(rendition)
        if content.length is None:
            response = responses.single(BodyPart(content.content_type, None, content.chunks()))
        else:
            response = responses.ranged(content.read, content.content_type, content.length, rendition.tag)
    response.set_etag(rendition.tag)
    return response


def _multipart(context: PartitionContext, media_type: str, wanted: Iterable[Callable[[], Rendition]]) -> Response:
    return responses.related(media_type, _parts(context, wanted))


def _parts(context: PartitionContext, wanted: Iterable[Callable[[], Rendition]]) -> Iterator[BodyPart]:
    """Yield a part for each representation, rendered when it is sent.

    The part of an instance that cannot be rendered is a text with the reason. If none can be rendered, the first reason
    is raised instead.
    """
    reasons: list[tuple[ImageFailure, BodyPart]] = []
    begun = False
    for make_rendition in wanted:
        try:
            part = _part(context, make_rendition())
        except ImageFailure as failure:
            text = str(failure).encode()
            part = BodyPart(_TEXT, len(text), (text,))
            if not begun:
                reasons.append((failure, part))
                continue
        if not begun:
            yield from (text_part for _, text_part in reasons)
        begun = True
        yield part
    if reasons and not begun:
        raise reasons[0][0]


def _part(context: PartitionContext, rendition: Rendition) -> BodyPart:
    row = rendition.row
    content = context.services.rendering.content(rendition)
    location = context.links.resource(row.study, row.series, row.instance)
    location += f"/frames/{rendition.frames[0]}/rendered" if rendition.frames else "/rendered"
    return BodyPart(content.content_type, content.length, content.chunks(), location)
