"""The blueprint factory: mounts every resource per version and scope (conformance §1.2, §2.4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from flask import Blueprint, Flask, Response

from app.web.response.responses import empty
from app.web.routing.dispatch import dispatch
from app.web.routing.route import PAGES_PREFIX, PARTITION_PREFIX, Resource, Route, Scope
from app.web.routing.versions import BY_NAME, UNVERSIONED, VERSION_SEGMENT

_ROOTS: Final = {
    Scope.PARTITION: (VERSION_SEGMENT, VERSION_SEGMENT + PARTITION_PREFIX),
    Scope.BELOW_PARTITION: (VERSION_SEGMENT + PARTITION_PREFIX,),
    Scope.BASE: (VERSION_SEGMENT,),
    Scope.UNVERSIONED: ("",),
    Scope.PAGE: ("",),
    Scope.PARTITION_PAGE: (PAGES_PREFIX, PAGES_PREFIX + PARTITION_PREFIX),
}


def mount(app: Flask, resources: Iterable[Resource]) -> None:
    """Register the resources on the application."""
    resources = tuple(resources)
    described = frozenset(
        (root, path)
        for resource in resources
        for route in resource.routes
        if route.method == "OPTIONS"
        for root in _ROOTS[route.scope]
        for path in route.paths
    )
    for resource in resources:
        for blueprint in blueprints(resource, described):
            app.register_blueprint(blueprint)


def blueprints(resource: Resource, described: Collection[tuple[str, str]] = ()) -> Iterator[Blueprint]:
    """Yield the blueprints of a resource: one for its base form, one for its form below a partition.

    Flask answers OPTIONS, except on the roots and paths in `described`, which have a route for it.

    The versions share the rules and differ in the view that answers. A rule of its own for each version would cost a
    quarter of a millisecond at the start of every process, and a literal segment of one version could lose against a
    parameter of another.
    """
    roots: defaultdict[str, defaultdict[tuple[str, str], list[Route]]] = defaultdict(lambda: defaultdict(list))
    for route in resource.routes:
        for root in _ROOTS[route.scope]:
            for path in route.paths:
                roots[root][route.method, path].append(route)
    for number, (root, rules) in enumerate(roots.items()):
        blueprint = _blueprint(resource, f"{resource.name}-{number}", root)
        for (method, path), routes in rules.items():
            blueprint.add_url_rule(
                path,
                f"{method} {path}".replace(".", " "),
                RouteView(routes),
                methods=[method],
                provide_automatic_options=False if (root, path) in described else None,
            )
        yield blueprint


def _blueprint(resource: Resource, name: str, root: str) -> Blueprint:
    blueprint = Blueprint(name, __name__, url_prefix=root or None)
    for kind, handler in resource.error_handlers.items():
        blueprint.register_error_handler(kind, handler)
    if resource.after_request:
        blueprint.after_request(resource.after_request)
    return blueprint


class RouteView:
    """The view of a rule. It answers by the route of the version; a version without a route gets 404 without a text."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._by_version = {version.name: route for route in routes for version in route.versions}
        self.public: Final = all(route.public for route in routes)
        """Whether a request needs no credentials, whatever its version."""

    def __call__(self, version: str = UNVERSIONED.name, **values: Any) -> Response:
        route = self._by_version.get(version)
        return empty(404) if route is None else dispatch(route, BY_NAME[version], values)
