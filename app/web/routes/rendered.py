"""Rendered pictures of instances and frames; the service refuses to render (conformance §4.10, PS3.18 §10.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from flask import Response, request

from app.errors import InvalidRequest, NotAcceptable
from app.web.negotiation.offers import JPEG, PNG, RENDERED, Offer
from app.web.request.frame_list import FRAMES_RULE, frame_numbers
from app.web.routing.context import PartitionContext
from app.web.routing.route import Action, Resource

_INSTANCE: Final = "/studies/<study>/series/<series>/instances/<instance>"

resource = Resource("rendered")

_RENDERED: Final[dict[str, Any]] = {
    "action": Action.READ,
    "audit": "retrieve-rendered",
    "patient_data": True,
    "representations": RENDERED,
    "answers": {200: (JPEG, PNG)},
}


@resource.route("GET", f"{_INSTANCE}/rendered", arguments={"frames": "1"}, **_RENDERED)
@resource.route("GET", f"{_INSTANCE}/frames/<frames>/rendered", **_RENDERED)
def rendered(
    context: PartitionContext, offers: Sequence[Offer], study: str, series: str, instance: str, frames: str
) -> Response:
    """Refused, after the checks that a rendering needs."""
    if len(frame_numbers(frames)) > 1:
        raise InvalidRequest(FRAMES_RULE)
    _check_quality(request.args.get("quality", "100"))
    context.services.retrieve.instances(context.partition, study, series, instance)
    raise NotAcceptable("An error was encountered when attempting to convert the dicom file into an image")


def _check_quality(text: str) -> None:
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= 100):
        raise InvalidRequest("Image quality must be between 1 and 100 inclusive")
