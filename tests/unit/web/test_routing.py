"""The route table is complete and consistent: other parts of the service rely on its data."""

from __future__ import annotations

import inspect
import re

import pytest

from app.services.access.rights import Action
from app.web.routes.table import RESOURCES, ROUTES
from app.web.routing import versions
from app.web.routing.route import Route, Scope

METHODS_OF_ACTIONS = {
    Action.READ: {"GET", "OPTIONS"},
    Action.DELETE: {"DELETE"},
    Action.EXPORT: {"POST"},
    Action.MANAGE_ACCESS: {"GET", "POST", "DELETE"},
}
AUDIT_EVENTS = {
    "access", "partition", "store", "retrieve", "retrieve-metadata", "retrieve-bulk-data", "retrieve-pixel-data",
    "retrieve-capabilities", "retrieve-rendered", "query", "delete", "change-feed",
    "export", "operation", "update-study", "add-extended-query-tag", "remove-extended-query-tag",
    "get-extended-query-tag", "get-all-extended-query-tag", "get-extended-query-tag-errors",
    "update-extended-query-tag", "add-workitem", "retrieve-workitem", "query-workitem", "update-workitem",
    "change-state-workitem", "cancel-workitem",
}  # fmt: skip

HEALTH = {"GET /health/live", "GET /health/ready", "GET /health/check"}
DESCRIPTIONS = {"GET /api.json", "GET /api.yaml"}

every_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.paths[0]}")


def test_no_two_routes_answer_the_same_request() -> None:
    requests = [
        (route.method, path, version.name, route.scope)
        for route in ROUTES
        for path in route.paths
        for version in route.versions
    ]
    assert len(requests) == len(set(requests))


def test_resources_have_names_of_their_own() -> None:
    assert len({resource.name for resource in RESOURCES}) == len(RESOURCES)


def test_three_routes_create_partitions() -> None:
    creating = {f"{route.method} {path}" for route in ROUTES if route.creates_partition for path in route.paths}
    assert creating == {"POST /studies", "POST /studies/<study>", "POST /workitems"}


def test_the_routes_that_need_no_right() -> None:
    without = {f"{route.method} {path}" for route in ROUTES if route.action is None for path in route.paths}
    assert without == {*HEALTH, *DESCRIPTIONS, "GET /partitions", "GET /operations/<operation>", "OPTIONS "}
    assert {f"GET {path}" for route in ROUTES if route.public for path in route.paths} == HEALTH | DESCRIPTIONS


def test_health_metrics_and_descriptions_are_not_audited() -> None:
    health = [("/health/live",), ("/health/ready",), ("/health/check",)]
    descriptions = [("/api.json",), ("/api.yaml",)]
    assert [route.paths for route in ROUTES if route.audit is None] == [*descriptions, *health, ("/metrics",)]
    assert {route.audit for route in ROUTES if route.audit} == AUDIT_EVENTS


def test_v2_alone_has_bulk_updates_and_the_prerelease_has_no_exports() -> None:
    limited = {path: route.versions for route in ROUTES if route.versions != versions.ALL for path in route.paths}
    assert limited["/studies/$bulkUpdate"] == (versions.V2,)
    assert limited["/export"] == versions.RELEASED
    assert set(limited) == {"/studies/$bulkUpdate", "/export", "/changefeed"}


@every_route
def test_a_route_is_consistent(route: Route) -> None:
    assert route.method in METHODS_OF_ACTIONS.get(route.action or Action.READ, {"POST", "PUT", "PATCH", "DELETE"})
    assert all(path.startswith("/") or path == "" for path in route.paths)
    assert all(100 <= status < 600 for status in route.answers)
    assert (route.body is not None) == (route.method in ("POST", "PUT", "PATCH"))
    assert not route.creates_partition or route.scope is Scope.PARTITION


@every_route
def test_a_handler_takes_what_dispatch_gives(route: Route) -> None:
    taken = inspect.signature(route.handler).parameters
    given = {"context", *route.arguments}
    given |= {"offers"} if route.representations else set()
    given |= {"accepted"} if route.read_accept else set()
    given |= {"parameters"} if route.query else set()
    given |= {"body"} if route.body else set()
    for path in route.paths:
        names = given | set(re.findall(r"<(?:\w+:)?(\w+)>", path))
        required = {name for name, parameter in taken.items() if parameter.default is parameter.empty}
        assert required <= names <= taken.keys()
