"""Retrieve: files, frames and metadata (conformance §4.1, PS3.18 §10.4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from flask import Response, request

from app.dicom.encoding.uids import transfer_syntax
from app.errors import InvalidRequest, NotAcceptable
from app.services.access.rights import Action
from app.services.retrieve.frames import Frames
from app.services.retrieve.service import Retrieve
from app.storage.records.rows import InstanceRow
from app.web.negotiation.dataset_media_types import DatasetForm, accepted_dataset_form
from app.web.negotiation.frame_media_types import FRAME_MEDIA_TYPES
from app.web.negotiation.offers import (
    AS_STORED,
    DICOM,
    FILE,
    FILES,
    FRAMES,
    OCTETS,
    Offer,
    first_producible,
    offers_for,
)
from app.web.request.frame_list import SINGLE_PART_RULE, frame_numbers
from app.web.request.original_version import is_original_wanted
from app.web.response import responses
from app.web.response.datasets import datasets
from app.web.response.entity_tags import has_current
from app.web.response.responses import DICOM_JSON, DICOM_XML, BodyPart, related_type, typed
from app.web.routes.bulk_data import names_bulk_data
from app.web.routing.context import PartitionContext
from app.web.routing.route import INSTANCE_PATH, SERIES_PATH, STUDY_PATH, Resource

resource = Resource("retrieve")

_RETRIEVE: Final[dict[str, Any]] = {"action": Action.READ, "patient_data": True}
_FILES: Final[dict[str, Any]] = {"audit": "retrieve", **_RETRIEVE}
_FRAMES: Final[dict[str, Any]] = {
    "audit": "retrieve",
    "representations": FRAMES,
    "answers": {
        200: (OCTETS, *FRAME_MEDIA_TYPES, *map(related_type, (OCTETS, *FRAME_MEDIA_TYPES))),
        206: (OCTETS, *FRAME_MEDIA_TYPES),
    },
    **_RETRIEVE,
}


@resource.route("GET", STUDY_PATH, SERIES_PATH, representations=FILES, answers={200: (related_type(DICOM),)}, **_FILES)
@resource.route(
    "GET",
    INSTANCE_PATH,
    representations=FILE,
    answers={200: (DICOM, related_type(DICOM)), 206: (DICOM,)},
    **_FILES,
)
def files(
    context: PartitionContext,
    offers: Sequence[Offer],
    study: str,
    series: str | None = None,
    instance: str | None = None,
) -> Response:
    """The files as stored, or one of them in another transfer syntax."""
    retrieve = context.services.retrieve
    found = retrieve.instances(context.partition, study, series, instance, original=is_original_wanted(request))
    context.audit.count = len(found)
    return files_offered(retrieve, found, offers)


def files_offered(retrieve: Retrieve, found: Sequence[InstanceRow], offers: Sequence[Offer]) -> Response:
    """Return the files in the first way that is possible. Raises `NotAcceptable` if none is."""
    if len(found) == 1:
        offers = offers_for(offers, found[0].transfer_syntax)
    return first_producible(offers, partial(_files, retrieve, found))


@resource.route(
    "GET",
    f"{STUDY_PATH}/metadata",
    f"{SERIES_PATH}/metadata",
    f"{INSTANCE_PATH}/metadata",
    audit="retrieve-metadata",
    read_accept=accepted_dataset_form,
    answers={200: (DICOM_JSON, DICOM_XML, related_type(DICOM_XML)), 304: ()},
    **_RETRIEVE,
)
def metadata(
    context: PartitionContext,
    accepted: DatasetForm,
    study: str,
    series: str | None = None,
    instance: str | None = None,
) -> Response:
    """The datasets, bulk data by its URLs; 304 if the caller has them already (conformance §4.7, §4.8)."""
    link = context.links.resource if names_bulk_data(context) else None
    found = context.services.retrieve.metadata(
        context.partition, study, series, instance, original=is_original_wanted(request), link=link
    )
    etag = f"{found.etag}-xml" if accepted.media_type == DICOM_XML else found.etag
    if has_current(request.if_none_match, etag):
        response = responses.empty(304)
    else:
        response = datasets(accepted, found.documents, is_one=instance is not None)
    response.set_etag(etag)
    return response


@resource.route("GET", f"{INSTANCE_PATH}/frames", arguments={"frames": ""}, **_FRAMES)
@resource.route("GET", f"{INSTANCE_PATH}/frames/<frames>", **_FRAMES)
def frames(
    context: PartitionContext, offers: Sequence[Offer], study: str, series: str, instance: str, frames: str
) -> Response:
    """The pixels of the frames, in the order of the request."""
    numbers = frame_numbers(frames)
    if len(numbers) > 1:
        offers = tuple(offer for offer in offers if offer.multipart)
        if not offers:
            raise InvalidRequest(SINGLE_PART_RULE)
    retrieve = context.services.retrieve
    (row,) = retrieve.instances(context.partition, study, series, instance)

    def produce(offer: Offer) -> Response:
        syntax = AS_STORED if offer.admits_stored(row.transfer_syntax) else offer.transfer_syntax
        return _frames(retrieve.frames(row, numbers, syntax), offer)

    return first_producible(offers_for(offers, row.transfer_syntax), produce)


def _files(retrieve: Retrieve, found: Sequence[InstanceRow], offer: Offer) -> Response:
    if all(offer.admits_stored(each.transfer_syntax) for each in found):
        return _stored_files(retrieve, found, offer)
    if len(found) == 1:
        return _one_file(retrieve, found[0], offer)
    if not offer.stated:
        return _stored_files(retrieve, found, offer)
    raise NotAcceptable(
        f"Accept transfer syntax '{offer.transfer_syntax}' is not supported when multiple instances are matched. "
        "Matching instances can be retrieved with their original transfer syntax by specifying 'transfer-syntax=*' in "
        "the Accept header."
    )


def _one_file(retrieve: Retrieve, row: InstanceRow, offer: Offer) -> Response:
    """Return a transcoded file. If the caller names no transfer syntax, return a file with lossy pixels as stored.

    The same holds for a compressed file that no codec reads. Without this exception a client that names no transfer
    syntax could read two compressed files and not one of them.
    """
    if not offer.stated and retrieve.is_lossy(row):
        return _stored_files(retrieve, [row], offer)
    try:
        return _transcoded_file(retrieve, row, offer)
    except NotAcceptable:
        if offer.stated or not transfer_syntax(row.transfer_syntax).encapsulated:
            raise
        return _stored_files(retrieve, [row], offer)


def _transcoded_file(retrieve: Retrieve, row: InstanceRow, offer: Offer) -> Response:
    found = retrieve.transcoded(row, offer.transfer_syntax)
    part = BodyPart(typed(DICOM, offer.transfer_syntax), found.length, found.chunks)
    return responses.related(DICOM, [part]) if offer.multipart else responses.single(part)


def _stored_files(retrieve: Retrieve, found: Sequence[InstanceRow], offer: Offer) -> Response:
    if not offer.multipart:
        (row,) = found
        response = responses.file(partial(retrieve.open, row), typed(DICOM, row.transfer_syntax), row.size)
        return _with_digest(response, row.digest)
    streams = retrieve.open_all(found)
    parts = [
        BodyPart(typed(DICOM, each.transfer_syntax), each.size, responses.chunks_of(partial(next, streams), each.size))
        for each in found
    ]
    response = responses.related(DICOM, parts)
    response.call_on_close(streams.close)
    return response


def _with_digest(response: Response, digest: str) -> Response:
    """Add the digest of the file, and of the content if that is the whole file (RFC 9530 §2, §3). "" adds nothing."""
    if digest:
        response.headers["Repr-Digest"] = f"sha-256=:{digest}:"
        if response.status_code == 200 and request.method == "GET":
            response.headers["Content-Digest"] = response.headers["Repr-Digest"]
    return response


def _frames(found: Frames, offer: Offer) -> Response:
    content_type = typed(offer.media_type, found.transfer_syntax)
    if offer.multipart:
        parts = (BodyPart(content_type, part.length, part.chunks) for part in found.parts)
        return responses.related(offer.media_type, list(parts) if isinstance(found.parts, list) else parts)
    (frame,) = found.parts
    if frame.read_range:
        return responses.ranged(frame.read_range, content_type, frame.length)
    return responses.single(BodyPart(content_type, frame.length, frame.chunks))
