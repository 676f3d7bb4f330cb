"""Retrieve: files, frames, metadata; rendering is refused for now (conformance §4.1, PS3.18 §10.4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Final

from flask import Response, request

from app.errors import InvalidRequest, NotAcceptable
from app.services.retrieve.frames import Frames
from app.services.retrieve.service import Retrieve
from app.storage.records.rows import InstanceRow
from app.web import etags, negotiation, responses
from app.web.context import Scope
from app.web.mount import resource as new
from app.web.negotiation import AS_STORED, DICOM, EXPLICIT_LITTLE, Offer

FRAMES_RULE: Final = (
    "The specified frames value is not valid. At least one frame must be present, "
    "and all requested frames must have value greater than 0."
)

resource = new("retrieve")


@resource.get("/studies/<study>")
@resource.get("/studies/<study>/series/<series>")
@resource.get("/studies/<study>/series/<series>/instances/<instance>")
def files(scope: Scope, study: str, series: str | None = None, instance: str | None = None) -> Response:
    """The files as stored, or one of them in another transfer syntax."""
    offers = negotiation.offers(negotiation.FILE if instance else negotiation.FILES, request.headers.get("Accept"))
    retrieve = scope.services.retrieve
    found = retrieve.instances(scope.partition(), study, series, instance, original=_original())
    return negotiation.first_acceptable(offers, partial(_files, retrieve, found))


@resource.get("/studies/<study>/metadata")
@resource.get("/studies/<study>/series/<series>/metadata")
@resource.get("/studies/<study>/series/<series>/instances/<instance>/metadata")
def metadata(scope: Scope, study: str, series: str | None = None, instance: str | None = None) -> Response:
    """The datasets without bulk data as an array; 304 for a caller who has them."""
    negotiation.require_json(request.headers.get("Accept"))
    found = scope.services.retrieve.metadata(scope.partition(), study, series, instance, original=_original())
    if etags.matches(request.headers.get("If-None-Match"), found.etag):
        response = responses.empty(304)
    else:
        response = responses.json_array(found.documents)
    response.headers["ETag"] = f'"{found.etag}"'
    return response


@resource.get("/studies/<study>/series/<series>/instances/<instance>/frames", defaults={"listed": ""})
@resource.get("/studies/<study>/series/<series>/instances/<instance>/frames/<listed>")
def frames(scope: Scope, study: str, series: str, instance: str, listed: str) -> Response:
    """The pixels of the frames, in the order asked for."""
    offers = negotiation.offers(negotiation.FRAMES, request.headers.get("Accept"))
    partition = scope.partition()
    numbers = _numbers(listed)
    if len(numbers) > 1:
        offers = tuple(offer for offer in offers if offer.multipart)
        if not offers:
            raise InvalidRequest(
                "The accept header is supported for single frame retrieval, use multi-part accept header instead."
            )
    retrieve = scope.services.retrieve

    def answer(offer: Offer) -> Response:
        return _frames(retrieve.frames(partition, study, series, instance, numbers, offer.transfer_syntax), offer)

    return negotiation.first_acceptable(offers, answer)


@resource.get("/studies/<study>/series/<series>/instances/<instance>/rendered", defaults={"listed": "1"})
@resource.get("/studies/<study>/series/<series>/instances/<instance>/frames/<listed>/rendered")
def rendered(scope: Scope, study: str, series: str, instance: str, listed: str) -> Response:
    """Refused after the checks that a rendering would make."""
    negotiation.offers(negotiation.RENDERED, request.headers.get("Accept"))
    partition = scope.partition()
    if len(_numbers(listed)) > 1:
        raise InvalidRequest(FRAMES_RULE)
    _quality(request.args.get("quality", "100"))
    scope.services.retrieve.instances(partition, study, series, instance)
    raise NotAcceptable("An error was encountered when attempting to convert the dicom file into an image")


def _files(retrieve: Retrieve, found: Sequence[InstanceRow], offer: Offer) -> Response:
    if _as_stored(found, offer):
        if not offer.multipart:
            return responses.file(retrieve.open(found[0]), _typed(DICOM, found[0].transfer_syntax), found[0].size)
        streams = retrieve.open_all(found)
        pieces = [
            responses.Piece(
                _typed(DICOM, each.transfer_syntax), each.size, responses.chunks_of(partial(next, streams), each.size)
            )
            for each in found
        ]
        response = responses.related(DICOM, pieces)
        response.call_on_close(streams.close)
        return response
    if offer.transfer_syntax != EXPLICIT_LITTLE:
        raise NotAcceptable("The specified transcoding is not supported.")
    piece = responses.Piece(_typed(DICOM, EXPLICIT_LITTLE), None, retrieve.explicit_little(found[0]))
    return responses.related(DICOM, [piece]) if offer.multipart else responses.single(piece)


def _as_stored(found: Sequence[InstanceRow], offer: Offer) -> bool:
    syntax = offer.transfer_syntax
    if syntax == AS_STORED or all(each.transfer_syntax == syntax for each in found):
        return True
    if len(found) == 1:
        return False
    if not offer.stated:
        return True
    raise NotAcceptable(
        f"Accept transfer syntax '{syntax}' is not supported when multiple instances are matched. Matching instances "
        "can be retrieved with their original transfer syntax by specifying 'transfer-syntax=*' in the Accept header."
    )


def _frames(found: Frames, offer: Offer) -> Response:
    kind = _typed(offer.media_type, found.transfer_syntax)
    pieces = (responses.Piece(kind, part.length, part.chunks) for part in found.parts)
    return responses.related(offer.media_type, pieces) if offer.multipart else responses.single(next(pieces))


def _typed(media_type: str, transfer_syntax: str) -> str:
    return f"{media_type}; transfer-syntax={transfer_syntax}"


def _original() -> bool:
    first = request.headers.get("msdicom-request-original", "").partition(",")[0]
    return first.strip().lower() == "true"


def _numbers(listed: str) -> list[int]:
    texts = listed.split(",")
    if not all(re.fullmatch(r"0*[1-9][0-9]{0,17}", text.strip(), re.ASCII) for text in texts):
        raise InvalidRequest(FRAMES_RULE)
    return [int(text) for text in texts]


def _quality(text: str) -> None:
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= 100):
        raise InvalidRequest("Image quality must be between 1 and 100 inclusive")
