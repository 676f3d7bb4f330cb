"""The way of a request to its handler: the same steps for every route, in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import Response, current_app, g, request

from app.dicom.encoding.uids import clean_uid
from app.services import Services
from app.services.policy import Policy
from app.settings import Settings
from app.web.context import ANONYMOUS, Context, Links, PartitionContext, address
from app.web.negotiation import acceptable_offers, require_json
from app.web.paths import VERSION_PREFIX
from app.web.routing import Route, Scope
from app.web.schemas.parameters import load_parameters
from app.web.versions import ApiVersion

SERVICES: Final = "bulkhead"
SETTINGS: Final = "bulkhead.settings"
"""Keys of the extensions of the application: the use cases, and what the operator configured."""

_UIDS: Final = {
    "study": "StudyInstanceUid",
    "series": "SeriesInstanceUid",
    "instance": "SopInstanceUid",
    "workitem": "WorkitemInstanceUid",
}
"""Path parameters that are UIDs, and the attribute that an error names."""


def dispatch(route: Route, version: ApiVersion, values: dict[str, Any]) -> Response:
    """Answer a request whose path and method matched the route. `values` are the path parameters.

    The order of the steps is: feature switched on, UIDs of the path, Accept, Content-Type, partition, query
    parameters, body, handler (conformance §2.5). A route that creates its partition reads query and body first, so that
    a request with a fault in them creates nothing.
    """
    settings: Settings = current_app.extensions[SETTINGS]
    g.route = route
    if route.check_enabled:
        route.check_enabled(settings)
    name = values.pop("partition", None)
    arguments = {key: clean_uid(value, _UIDS[key]) if key in _UIDS else value for key, value in values.items()}
    arguments |= route.arguments
    accept = request.headers.get("Accept")
    if route.requires_json:
        require_json(accept)
    if route.representations:
        arguments["offers"] = acceptable_offers(route.representations, accept)
    read_body = route.body.open(request, settings) if route.body else None
    if route.creates_partition:
        arguments |= _input(route, read_body)
    context = _context(route, version.policy, name)
    if not route.creates_partition:
        arguments |= _input(route, read_body)
    return route.handler(context, **arguments)


def _input(route: Route, read_body: Callable[[], Any] | None) -> dict[str, Any]:
    """Return the query parameters and the body as the arguments that the handler takes."""
    arguments: dict[str, Any] = {}
    if route.query:
        arguments["parameters"] = load_parameters(route.query, request.environ.get("QUERY_STRING", ""))
    if read_body:
        arguments["body"] = read_body()
    return arguments


def _context(route: Route, policy: Policy, name: str | None) -> Context:
    """Return the context, with the partition of the URL if the route has one.

    Every request to every route passes here before its handler sees it. The rights of the caller belong here.
    """
    services: Services = current_app.extensions[SERVICES]
    settings: Settings = current_app.extensions[SETTINGS]
    root = (settings.public_url or address(request)) + request.environ[VERSION_PREFIX]
    common: dict[str, Any] = {
        "caller": ANONYMOUS,
        "policy": policy,
        "request_id": g.request_id,
        "services": services,
        "settings": settings,
    }
    if route.scope is not Scope.PARTITION:
        return Context(links=Links(root), **common)
    g.partition = partition = services.partitions.resolve(name, create=route.creates_partition)
    links = Links(root, None if name is None else partition.name)
    return PartitionContext(links=links, partition=partition, **common)
