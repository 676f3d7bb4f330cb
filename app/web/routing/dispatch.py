"""The steps between routing and handler. They are the same for every route."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from flask import Response, current_app, g, request
from werkzeug.exceptions import NotFound

from app.dicom.encoding.uids import clean_uid
from app.services import Services
from app.services.audit.call import AuditedCall
from app.services.policy import Policy
from app.settings import Settings
from app.storage.table.partitions import Partition
from app.web.negotiation.accept_parameter import use_accept_parameter
from app.web.negotiation.offers import acceptable_offers, require_json
from app.web.routing.access import authorize
from app.web.routing.audit import note_call, record_created, record_executing
from app.web.routing.context import Context, Links, PartitionContext, address
from app.web.routing.paths import VERSION_PREFIX
from app.web.routing.route import PARTITION_SCOPES, Route
from app.web.routing.versions import ApiVersion
from app.web.schemas.parameters import has_parameter, load_parameters

SERVICES: Final = "bulkhead"
SETTINGS: Final = "bulkhead.settings"
HEALTH: Final = "bulkhead.health"
"""Keys of the extensions of the application: the use cases, what the operator configured, the `HealthReport`."""

_UIDS: Final = {
    "study": "StudyInstanceUid",
    "series": "SeriesInstanceUid",
    "instance": "SopInstanceUid",
    "workitem": "WorkitemInstanceUid",
}
"""Path parameters that are UIDs, and the attribute that an error names."""


def dispatch(route: Route, version: ApiVersion, values: dict[str, Any]) -> Response:
    """Answer a request whose path and method matched the route. `values` are the path parameters.

    The caller is known before. The order of the steps is: the parameter that selects the route, feature switched on,
    Content-Type, name of the partition, rights of the caller, the audit line before the action, Accept (the query
    parameter or the header), UIDs of the path, partition, query parameters, body, handler (conformance §2.4). A route
    that creates its partition reads query and body first, so that a request with a fault in them creates nothing.
    """
    g.route = route
    use_accept_parameter(request.environ)
    if route.selected_by and not has_parameter(request.environ.get("QUERY_STRING", ""), route.selected_by):
        raise NotFound
    services, settings = _wiring()
    call = note_call(route.audit, values)
    if route.check_enabled:
        route.check_enabled(settings)
    read_body = route.body.open(request, settings) if route.body else None
    partition_name = values.pop("partition", None)
    meant = services.partitions.name_of(partition_name) if route.scope in PARTITION_SCOPES else None
    authorize(route, g.caller, meant, named=partition_name is not None)
    record_executing(services.audit, call, meant)
    if route.requires_json:
        require_json(request.headers.get("Accept"))
    offers = acceptable_offers(route.representations, request.headers.get("Accept")) if route.representations else ()
    accepted = route.read_accept(request.headers.get("Accept")) if route.read_accept else None
    for name in values.keys() & _UIDS.keys():
        values[name] = clean_uid(values[name], _UIDS[name])
    arguments = {**values, **route.arguments}
    if offers:
        arguments["offers"] = offers
    if accepted is not None:
        arguments["accepted"] = accepted
    if route.creates_partition:
        arguments |= _input(route, read_body)
    partition = _partition(route, services, meant, call)
    if not route.creates_partition:
        arguments |= _input(route, read_body)
    context = _context(version.policy, services, settings, partition, partition_name, call)
    return route.handler(context, **arguments)


def _wiring() -> tuple[Services, Settings]:
    extensions = current_app.extensions
    return extensions[SERVICES], extensions[SETTINGS]


def _partition(route: Route, services: Services, name: str | None, call: AuditedCall) -> Partition | None:
    """Return the partition with this name; None for a route without one. Raises `PartitionError` (conformance §2.4)."""
    if name is None:
        return None
    on_create = partial(record_created, services.audit, call)
    partition: Partition = services.partitions.resolve(name, create=route.creates_partition, on_create=on_create)
    g.partition = partition
    return partition


def _input(route: Route, read_body: Callable[[], Any] | None) -> dict[str, Any]:
    """Return the query parameters and the body as the arguments that the handler takes."""
    arguments: dict[str, Any] = {}
    if route.query:
        arguments["parameters"] = load_parameters(route.query, request.environ.get("QUERY_STRING", ""))
    if read_body:
        arguments["body"] = read_body()
    return arguments


def _context(
    policy: Policy,
    services: Services,
    settings: Settings,
    partition: Partition | None,
    partition_name: str | None,
    call: AuditedCall,
) -> Context:
    """Return the context. Links name the partition as first spelt, if the URL names it."""
    links = Links(
        address=lambda: settings.public_url or address(request),
        version_prefix=request.environ[VERSION_PREFIX],
        partition=partition.name if partition and partition_name is not None else None,
    )
    common: dict[str, Any] = {
        "caller": g.caller,
        "policy": policy,
        "links": links,
        "request_id": g.request_id,
        "services": services,
        "settings": settings,
        "audit": call,
    }
    return PartitionContext(partition=partition, **common) if partition else Context(**common)
