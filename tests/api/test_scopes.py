"""Routes of a partition and routes at the base (conformance §1.2, §2.4)."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from flask.testing import FlaskClient

from app.web.routes.table import ROUTES
from app.web.routing.route import Scope
from tests.conftest import Serve

one_engine = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
"""The engines do not see routes."""

S, SE, I = "studies/2.25.1", "series/2.25.2", "instances/2.25.3"  # noqa: E741  # the letters of conformance §1.2


class SampleRoute(NamedTuple):
    """A method and a path below version and partition. `creates`: the call creates the partition."""

    method: str
    path: str
    creates: bool = False


PARTITIONED = [
    SampleRoute("POST", "studies", creates=True),
    SampleRoute("POST", S, creates=True),
    SampleRoute("GET", "studies"),
    SampleRoute("GET", "series"),
    SampleRoute("GET", "instances"),
    SampleRoute("GET", f"{S}/series"),
    SampleRoute("GET", f"{S}/instances"),
    SampleRoute("GET", f"{S}/{SE}/instances"),
    *(SampleRoute(method, path) for method in ("GET", "DELETE") for path in (S, f"{S}/{SE}", f"{S}/{SE}/{I}")),
    *(SampleRoute("GET", f"{S}/{SE}/{I}/{rest}") for rest in ("frames", "frames/1")),
    *(
        SampleRoute("GET", f"{path}/{rest}")
        for path in (S, f"{S}/{SE}", f"{S}/{SE}/{I}", f"{S}/{SE}/{I}/frames/1")
        for rest in ("rendered", "thumbnail")
    ),
    *(
        SampleRoute("GET", f"{path}/{rest}")
        for path in (S, f"{S}/{SE}", f"{S}/{SE}/{I}")
        for rest in ("metadata", "bulkdata", "pixeldata")
    ),
    SampleRoute("GET", f"{S}/{SE}/{I}/bulkdata/54000100/0/54001010"),
    SampleRoute("GET", "?requestType=WADO"),
    SampleRoute("GET", "statistics"),
    SampleRoute("GET", "wado"),
    SampleRoute("POST", "workitems?2.25.9", creates=True),
    SampleRoute("GET", "workitems"),
    SampleRoute("GET", "workitems/2.25.9"),
    SampleRoute("POST", "workitems/2.25.9?2.25.8"),
    SampleRoute("PUT", "workitems/2.25.9/state"),
    SampleRoute("POST", "workitems/2.25.9/cancelrequest"),
    SampleRoute("POST", "export"),
    SampleRoute("POST", "studies/$bulkUpdate"),
]

BASE = [
    SampleRoute("GET", "changefeed"),
    SampleRoute("GET", "changefeed/latest"),
    SampleRoute("GET", "extendedquerytags"),
    SampleRoute("POST", "extendedquerytags"),
    SampleRoute("GET", "extendedquerytags/PatientAge"),
    SampleRoute("PATCH", "extendedquerytags/PatientAge"),
    SampleRoute("DELETE", "extendedquerytags/PatientAge"),
    SampleRoute("GET", "extendedquerytags/PatientAge/errors"),
    SampleRoute("GET", "api.json"),
    SampleRoute("GET", "api.yaml"),
    SampleRoute("GET", "operations/" + "0" * 32),
    *(
        SampleRoute(method, f"access/{kind}{id_}")
        for kind in ("tokens", "grants")
        for method, id_ in (("POST", ""), ("GET", ""), ("DELETE", "/" + "0" * 14))
    ),
]

BODIES = {
    "studies": (b"x", "application/dicom"),
    S: (b"x", "application/dicom"),
    "workitems?2.25.9": (b"[{}]", "application/dicom+json"),
    "workitems/2.25.9?2.25.8": (b"[{}]", "application/dicom+json"),
    "workitems/2.25.9/state": (b"[{}]", "application/dicom+json"),
    "workitems/2.25.9/cancelrequest": (b"[{}]", "application/dicom+json"),
}

MISSING = "PartitionName value is missing in the route segment."
INVALID = "The specified PartitionName is invalid."
UNKNOWN = "Specified PartitionName nobody doesn't exist."
OFF = "Data partitions capability is disabled."


def call(client: FlaskClient, prefix: str, route: SampleRoute) -> tuple[int, str]:
    """Status and body of a call."""
    body, content_type = BODIES.get(route.path, (b"{}", "application/json"))
    given = {"data": body, "content_type": content_type} if route.method in ("POST", "PUT", "PATCH") else {}
    response = client.open(f"{prefix}/{route.path}", method=route.method, **given)  # type: ignore[arg-type]  # kwargs
    text = response.json if response.is_json and isinstance(response.json, str) else response.text
    return response.status_code, str(text)


def names(client: FlaskClient) -> set[str]:
    """The names of all partitions."""
    return {each["partitionName"] for each in client.get("/v2/partitions").json}


def is_served(answer: tuple[int, str]) -> bool:
    """Whether a route and a partition were found. The answer of the handler does not matter."""
    status, text = answer
    return status != 405 and text not in (MISSING, INVALID, UNKNOWN, OFF) and "requested URL was not found" not in text


def described(route: SampleRoute) -> str:
    return f"{route.method} {route.path}"


@one_engine
@pytest.mark.parametrize("version", ["/v2", "/v1", ""])
@pytest.mark.parametrize("route", PARTITIONED, ids=described)
def test_partitioned_resources_with_partitions_on(client: FlaskClient, route: SampleRoute, version: str) -> None:
    if version == "/v1" and "bulkUpdate" in route.path:
        pytest.skip("bulk updates are of version 2 alone")
    assert call(client, version, route) == (400, MISSING)
    assert call(client, f"{version}/partitions/a%20b", route) == (400, INVALID)
    assert is_served(call(client, f"{version}/partitions/Microsoft.Default", route))
    answer = call(client, f"{version}/partitions/nobody", route)
    if route.creates:
        assert is_served(answer)
        assert names(client) == {"Microsoft.Default", "nobody"}
    else:
        assert answer == (400, UNKNOWN)
        assert names(client) == {"Microsoft.Default"}


@one_engine
@pytest.mark.parametrize("route", PARTITIONED, ids=described)
def test_partitioned_resources_with_partitions_off(serve: Serve, route: SampleRoute) -> None:
    client = serve(enable_data_partitions=False)
    assert is_served(call(client, "/v2", route))
    assert call(client, "/v2/partitions/Microsoft.Default", route) == (400, OFF)


@one_engine
@pytest.mark.parametrize("version", ["/v2", "/v1", ""])
@pytest.mark.parametrize("enabled", [True, False], ids=["on", "off"])
@pytest.mark.parametrize("route", BASE, ids=described)
def test_base_resources_are_in_no_partition(serve: Serve, route: SampleRoute, enabled: bool, version: str) -> None:
    client = serve(enable_data_partitions=enabled)
    assert is_served(call(client, version, route))
    inside = call(client, f"{version}/partitions/Microsoft.Default", route)
    assert inside[0] == 404
    assert not is_served(inside)


@one_engine
def test_the_list_of_partitions(serve: Serve, client: FlaskClient) -> None:
    assert names(client) == {"Microsoft.Default"}
    assert call(client, "/v2/partitions/Microsoft.Default", SampleRoute("GET", "partitions"))[0] == 404
    response = serve(enable_data_partitions=False).get("/v2/partitions")
    assert (response.status_code, response.text) == (400, OFF)


def test_every_route_of_the_table_is_in_these_lists() -> None:
    for scope, routes in (
        (Scope.PARTITION, PARTITIONED),
        (Scope.BASE, [*BASE, SampleRoute("GET", "partitions"), SampleRoute("OPTIONS", "")]),
    ):
        templates = {(route.method, path) for route in ROUTES if route.scope is scope for path in route.paths}
        assert {_template(route, templates) for route in routes} == templates


def _template(route: SampleRoute, templates: set[tuple[str, str]]) -> tuple[str, str]:
    """The method and the template of the route table that a route of these lists matches."""
    path = f"/{route.path}".partition("?")[0].rstrip("/")
    matching = [
        (method, template)
        for method, template in templates
        if method == route.method
        and re.fullmatch(re.sub(r"<\w+>", "[^/]+", re.sub(r"<path:\w+>", ".+", template)).replace("$", r"\$"), path)
    ]
    return min(matching, key=lambda each: each[1].count("<"))
