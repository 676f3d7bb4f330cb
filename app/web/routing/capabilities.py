"""The description of the service, made from the route table (conformance §1.13, PS3.18 §8.9)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from xml.etree import ElementTree

from app.errors import BulkheadError
from app.settings import Settings
from app.web.routing.route import PARTITION_PREFIX, Route, Scope
from app.web.routing.versions import ApiVersion

ROUTES: Final = "bulkhead.routes"
"""Key of the route table in the extensions of the application."""

_NAMESPACE: Final = "http://wadl.dev.java.net/2009/02"
_PARAMETER: Final = re.compile(r"<(?:\w+:)?(\w+)>")


def described_routes(
    routes: Iterable[Route], version: ApiVersion, settings: Settings, *, below_partition: bool
) -> dict[str, list[Route]]:
    """Return the routes by their paths below the root of a partition, or below the base.

    A path is a WADL template without a slash at the start: `studies/{study}`.
    Routes of other versions, and of features that the operator switched off, are left out.
    """
    found: dict[str, list[Route]] = {}
    for route in routes:
        prefix = _prefix(route, settings, below_partition=below_partition)
        if prefix is not None and version in route.versions and is_enabled(route, settings):
            for path in route.paths:
                found.setdefault(_PARAMETER.sub(r"{\1}", prefix + path).removeprefix("/"), []).append(route)
    return dict(sorted(found.items()))


def description(base: str, routes: dict[str, list[Route]]) -> dict[str, Any]:
    """Return the description in JSON. It has the elements and attributes of the one in WADL."""
    resources = [
        {
            "path": path,
            "param": [{"name": name, "style": "template"} for name in re.findall(r"{(\w+)}", path)],
            "method": [_method(route) for route in given],
        }
        for path, given in routes.items()
    ]
    return {"application": {"resources": {"base": base, "resource": resources}}}


def wadl(described: dict[str, Any]) -> bytes:
    """Return a description in the Web Application Description Language."""
    root = ElementTree.Element("application", xmlns=_NAMESPACE)
    _append(root, described["application"])
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def is_enabled(route: Route, settings: Settings) -> bool:
    """Return whether the operator lets the service answer the route."""
    if route.check_enabled is None:
        return True
    try:
        route.check_enabled(settings)
    except BulkheadError:
        return False
    return True


def _prefix(route: Route, settings: Settings, *, below_partition: bool) -> str | None:
    """Return what comes before the paths of a route, None if the route is not below the root."""
    if route.scope is Scope.UNVERSIONED:
        return None
    if below_partition:
        return None if route.scope is Scope.BASE else ""
    if route.scope is Scope.BASE:
        return ""
    if settings.enable_data_partitions:
        return PARTITION_PREFIX
    return None if route.scope is Scope.BELOW_PARTITION else ""


def _method(route: Route) -> dict[str, Any]:
    names = [str(field.data_key) for field in route.query.fields.values()] if route.query else []
    types = route.body.media_types if route.body else ()
    return {
        "name": route.method,
        "request": {
            "param": [{"name": name, "style": "query"} for name in names],
            "representation": [{"mediaType": each} for each in types],
        },
        "response": [
            {"status": str(status), "representation": [{"mediaType": each} for each in media_types]}
            for status, media_types in route.answers.items()
        ],
    }


def _append(parent: ElementTree.Element, described: dict[str, Any]) -> None:
    """Add texts as attributes, objects as elements, and each object of a list as an element of the same name."""
    for name, value in described.items():
        if isinstance(value, str):
            parent.set(name, value)
            continue
        for each in value if isinstance(value, list) else [value]:
            _append(ElementTree.SubElement(parent, name), each)
