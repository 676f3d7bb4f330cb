"""WADO-URI: one instance by the UIDs in the query (conformance §4.15, PS3.18 §9.4, §9.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from flask import Response, request

from app.errors import InvalidParameter, NotAcceptable, NotFound
from app.imaging.documents.kinds import HTML
from app.services.access.rights import Action
from app.storage.records.rows import InstanceRow
from app.web.negotiation.media import AcceptEntry, accept_entries
from app.web.negotiation.offers import DICOM, FILE, UNACCEPTABLE, Offer, acceptable_offers
from app.web.negotiation.rendered_media_types import RENDERED_TYPES, AcceptedTypes
from app.web.response.content_policy import restrict_content
from app.web.routes.rendered import one_rendition
from app.web.routes.retrieve import files_offered
from app.web.routing.context import PartitionContext
from app.web.routing.route import Resource
from app.web.schemas.wado_uri import WADO_URI_PARAMETERS

resource = Resource("wado-uri")
resource.after_request = restrict_content

_WADO_URI: Final[dict[str, Any]] = {
    "action": Action.READ,
    "audit": "retrieve",
    "patient_data": True,
    "query": WADO_URI_PARAMETERS,
    "answers": {200: (DICOM, *RENDERED_TYPES), 206: (DICOM, *RENDERED_TYPES), 304: ()},
}
_UTF_8: Final = frozenset({"utf-8", "utf8", "*"})


@resource.route("GET", "", selected_by="requestType", **_WADO_URI)
@resource.route("GET", "/wado", **_WADO_URI)
def wado_uri(context: PartitionContext, parameters: dict[str, Any]) -> Response:
    """The file of an instance, or its picture, page, document or video."""
    retrieve, rendering = context.services.retrieve, context.services.rendering
    context.audit.studies = (parameters["study"],)
    context.audit.series, context.audit.instance = parameters["series"], parameters["instance"]
    (row,) = retrieve.instances(context.partition, parameters["study"], parameters["series"], parameters["instance"])
    wanted = parameters["content_type"] or request.headers.get("Accept") or "*/*"
    accepted = tuple(accept_entries(wanted))
    frames = () if parameters["frame"] is None else (parameters["frame"],)
    media_types = _media_types(
        context, row, has_frame=bool(frames), has_wildcard=any("*" in each.name for each in accepted)
    )
    choice = AcceptedTypes(accepted).choice(media_types, multipart=False)
    if choice is None:
        raise NotAcceptable(
            f"{UNACCEPTABLE}: The instance is {rendering.kind(row)}. It is served as {', '.join(media_types)}."
        )
    if choice.media_type == DICOM:
        return files_offered(retrieve, [row], _offers(accepted, parameters["transfer_syntax"]))
    if frames:
        _check_frame(context, row, frames)
    if choice.media_type == HTML:
        _check_charset(parameters["charset"])
    return one_rendition(context, row, frames, choice.media_type, parameters)


def _media_types(context: PartitionContext, row: InstanceRow, *, has_frame: bool, has_wildcard: bool) -> Sequence[str]:
    """Return the media types of an instance, the default first.

    The default is a picture only for a single frame. It is the file for several frames, for videos and for instances
    that have no picture, and the first rendered media type for documents. Only a wildcard makes the default matter:
    without one the frames are not counted.
    """
    rendered = context.services.rendering.media_types(row)
    if has_wildcard and (not rendered or rendered[0].startswith(("image/", "video/"))):
        frames = context.services.retrieve.number_of_frames(row)
        if frames == 0 or (frames > 1 and not has_frame) or not rendered:
            return (DICOM, *rendered)
    return (*rendered, DICOM)


def _offers(accepted: Sequence[AcceptEntry], transfer_syntax: str) -> Sequence[Offer]:
    """Return the offers for the file. The parameter `transferSyntax` counts before those of the media types."""
    if not transfer_syntax:
        named = (each.parameters.get("transfer-syntax", "") for each in accepted if each.name == DICOM)
        transfer_syntax = next(filter(None, named), "")
    quoted = transfer_syntax.replace("\\", "").replace('"', "")
    return acceptable_offers(FILE, f'{DICOM}; transfer-syntax="{quoted}"' if quoted else DICOM)


def _check_frame(context: PartitionContext, row: InstanceRow, frames: Sequence[int]) -> None:
    """Raise `InvalidParameter` for a frame that the instance does not have (PS3.18 §9.5.2)."""
    try:
        context.services.rendering.check_frames(row, frames)
    except NotFound:
        raise InvalidParameter("frameNumber", f"The instance has no frame {frames[0]}.") from None


def _check_charset(charsets: str) -> None:
    """Raise `NotAcceptable` if the caller does not read UTF-8. Empty is every character set."""
    names = {each.partition(";")[0].strip() for each in charsets.split(",")}
    if charsets and not names & _UTF_8:
        raise NotAcceptable(f"{UNACCEPTABLE}: The page is in UTF-8, and the charset is '{charsets}'.")
