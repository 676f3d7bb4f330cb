"""`OPTIONS` at the root of a partition or of a version: what the service can do (conformance §1.13, PS3.18 §8.9)."""

from __future__ import annotations

from typing import Any, Final

import orjson
from flask import Response, current_app

from app.errors import NotAcceptable
from app.services.access.rights import Action
from app.web.negotiation.media import accept_entries
from app.web.negotiation.offers import UNACCEPTABLE
from app.web.response.responses import JSON
from app.web.routing.capabilities import ROUTES, described_routes, description, wadl
from app.web.routing.context import Context, PartitionContext
from app.web.routing.route import Resource, Scope
from app.web.routing.versions import BY_NAME, UNVERSIONED

WADL: Final = "application/vnd.sun.wadl+xml"
_TYPES: Final = {WADL: WADL, JSON: JSON, "application/*": WADL, "*/*": WADL}

resource = Resource("capabilities")


def accepted_type(accept: str | None) -> str:
    """Return the media type of the description. None, no header, is WADL. Raises `NotAcceptable`."""
    entries = sorted(accept_entries("*/*" if accept is None else accept), key=lambda each: -each.quality)
    found = next((_TYPES[each.name] for each in entries if each.name in _TYPES), None)
    if found is None:
        raise NotAcceptable(UNACCEPTABLE)
    return found


_OPTIONS: Final[dict[str, Any]] = {
    "audit": "retrieve-capabilities",
    "read_accept": accepted_type,
    "answers": {200: (WADL, JSON)},
}


@resource.route("OPTIONS", "", scope=Scope.BELOW_PARTITION, action=Action.READ, **_OPTIONS)
@resource.route("OPTIONS", "", scope=Scope.BASE, action=None, **_OPTIONS)
def capabilities(context: Context, accepted: str) -> Response:
    """The routes below the URL, with their parameters, media types and statuses."""
    version = BY_NAME.get(context.links.version_prefix.removeprefix("/"), UNVERSIONED)
    below_partition = isinstance(context, PartitionContext)
    routes = described_routes(
        current_app.extensions[ROUTES], version, context.settings, below_partition=below_partition
    )
    described = description(context.links.url("") + "/", routes)
    response = current_app.make_default_options_response()  # it has the header `Allow`
    response.data = wadl(described) if accepted == WADL else orjson.dumps(described)
    response.headers["Content-Type"] = accepted
    return response
