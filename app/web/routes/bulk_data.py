"""Bulk data and pixel data (conformance §4.14, PS3.18 §10.4.1.1.5, §10.4.1.1.6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

from flask import Response, request

from app.dicom.encoding.bulk_data import checked_path
from app.errors import NotAcceptable, NotFound
from app.services.access.rights import Action
from app.services.retrieve.bulk_data import BulkData, BulkDataPart
from app.services.retrieve.frames import UNSUPPORTED
from app.storage.records.rows import InstanceRow
from app.web.negotiation.frame_media_types import FRAME_MEDIA_TYPES
from app.web.negotiation.offers import (
    AS_STORED,
    BULK_DATA,
    BULK_DATA_OF_ALL,
    BULK_DATA_TYPES,
    EXPLICIT_LITTLE,
    OCTETS,
    UNACCEPTABLE,
    Offer,
    first_producible,
)
from app.web.request.original_version import is_original_wanted
from app.web.response import responses
from app.web.response.byte_ranges import requested_range
from app.web.response.content_policy import restrict_content
from app.web.response.responses import BodyPart, related_type, typed
from app.web.routing.context import PartitionContext
from app.web.routing.route import INSTANCE_PATH, SERIES_PATH, STUDY_PATH, Resource

_MEASURED_PARTS: Final = 1000
"""The largest number of parts of an answer with a Content-Length. They are in memory together, without their bytes."""

_LEVELS: Final = (STUDY_PATH, SERIES_PATH, INSTANCE_PATH)

_ONE_TYPES: Final = (OCTETS, *BULK_DATA_TYPES, *FRAME_MEDIA_TYPES)
_ALL: Final[dict[str, Any]] = {
    "action": Action.READ,
    "patient_data": True,
    "representations": BULK_DATA_OF_ALL,
    "answers": {200: (related_type(OCTETS),)},
}

resource = Resource("bulk-data")
resource.after_request = restrict_content


def names_bulk_data(context: PartitionContext) -> bool:
    """Return whether the metadata of this API version has the URLs of bulk data and short binary values."""
    wanted = context.settings.bulk_data_uri
    return wanted == "all" or (wanted == "v2" and context.policy.names_bulk_data)


@resource.route(
    "GET",
    f"{INSTANCE_PATH}/bulkdata/<path:element>",
    action=Action.READ,
    audit="retrieve-bulk-data",
    patient_data=True,
    representations=BULK_DATA,
    answers={200: (*_ONE_TYPES, *map(related_type, _ONE_TYPES)), 206: (*_ONE_TYPES, *map(related_type, _ONE_TYPES))},
)
def bulk_data(
    context: PartitionContext, offers: Sequence[Offer], study: str, series: str, instance: str, element: str
) -> Response:
    """The bytes of one element in little endian, or of a range; compressed pixel data by frames."""
    path = checked_path(element)
    (row,) = _rows(context, study, series, instance)
    found = context.services.bulk_data.find(row, path)
    location = _location(context, row, found)

    def produce(offer: Offer) -> Response:
        content_type = _content_type(found, offer)
        if found.count == 1:
            return _one_part(found, content_type, location, offer)
        if not offer.multipart:
            raise NotAcceptable("The pixel data has several frames. Accept multipart/related, or retrieve one frame.")
        parts = _body_parts(found, content_type, location)
        return responses.related(offer.media_type, list(parts) if found.count <= _MEASURED_PARTS else parts)

    return first_producible(offers, produce)


@resource.route("GET", *(f"{level}/bulkdata" for level in _LEVELS), audit="retrieve-bulk-data", **_ALL)
def all_bulk_data(
    context: PartitionContext,
    offers: Sequence[Offer],
    study: str,
    series: str | None = None,
    instance: str | None = None,
) -> Response:
    """The bulk data of every instance that metadata has a URL for, one part for each value or frame."""
    reader = context.services.bulk_data
    rows = _rows(context, study, series, instance)
    return _related(context, ((row, found) for row in rows for found in reader.each(row)), offers)


@resource.route("GET", *(f"{level}/pixeldata" for level in _LEVELS), audit="retrieve-pixel-data", **_ALL)
def pixel_data(
    context: PartitionContext,
    offers: Sequence[Offer],
    study: str,
    series: str | None = None,
    instance: str | None = None,
) -> Response:
    """The pixel data of every instance, one part for each value or compressed frame."""
    reader = context.services.bulk_data
    rows = _rows(context, study, series, instance)
    return _related(context, ((row, found) for row in rows for found in reader.pixel_data(row)), offers)


def _rows(
    context: PartitionContext, study: str, series: str | None = None, instance: str | None = None
) -> list[InstanceRow]:
    original = is_original_wanted(request)
    return context.services.retrieve.instances(context.partition, study, series, instance, original=original)


def _location(context: PartitionContext, row: InstanceRow, found: BulkData) -> str:
    return f"{context.links.resource(row.study, row.series, row.instance)}/bulkdata/{found.path}"


def _content_type(found: BulkData, offer: Offer) -> str:
    """Return the Content-Type of the bytes for an offer. Raises `NotAcceptable` if they do not have its media type."""
    if offer.representation.accepts_anything:
        return typed(found.media_type, found.transfer_syntax)
    if offer.media_type in FRAME_MEDIA_TYPES and not offer.admits_stored(found.transfer_syntax):
        raise NotAcceptable(UNACCEPTABLE)
    if offer.media_type in BULK_DATA_TYPES and offer.media_type != found.media_type:
        raise NotAcceptable(UNACCEPTABLE)
    if offer.transfer_syntax not in (AS_STORED, found.transfer_syntax or EXPLICIT_LITTLE):
        raise NotAcceptable(UNSUPPORTED)
    return typed(offer.media_type, found.transfer_syntax)


def _one_part(found: BulkData, content_type: str, location: str, offer: Offer) -> Response:
    """Return a value, or the byte range that the request asks for. A range counts within a multipart answer too.

    PS3.18 clients ask for bulk data in multipart/related, and mean a range of the value.
    """
    (part,) = found.parts()
    if not offer.multipart:
        return responses.ranged(part.read, content_type, part.length)
    wanted = requested_range(request, part.length)
    if wanted is None:
        response = responses.related(offer.media_type, [_body_part(part, content_type, location)])
    else:
        chunks = part.read(wanted.start, wanted.length)
        response = responses.related(offer.media_type, [BodyPart(content_type, wanted.length, chunks, location)])
        response.status_code = 206
        response.headers["Content-Range"] = wanted.content_range
    response.headers["Accept-Ranges"] = "bytes"
    return response


def _related(
    context: PartitionContext, found: Iterator[tuple[InstanceRow, BulkData]], offers: Sequence[Offer]
) -> Response:
    """Return the parts of many values. One value at a time is looked up. Raises `NotFound` if there is none."""
    parts = (
        part
        for row, each in found
        for part in _body_parts(each, _content_type(each, offers[0]), _location(context, row, each))
    )
    first = next(parts, None)
    if first is None:
        raise NotFound("bulk data")
    return responses.related(OCTETS, chain((first,), parts))


def _body_parts(found: BulkData, content_type: str, location: str) -> Iterator[BodyPart]:
    return (_body_part(part, content_type, location) for part in found.parts())


def _body_part(part: BulkDataPart, content_type: str, location: str) -> BodyPart:
    return BodyPart(content_type, part.length, part.read(0, part.length), location)
