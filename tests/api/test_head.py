"""HEAD is served wherever GET is, with the same status and headers and no body (RFC 9110 §9.3.2, conformance §1.2)."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from app.web.routes.table import ROUTES
from app.web.routing.route import Scope
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

VALUES = {"study": "2.25.1", "series": "2.25.2", "instance": "2.25.3", "frames": "1", "workitem": "2.25.4"}
PATHS = sorted(
    {(route.scope, path) for route in ROUTES if route.method == "GET" for path in route.paths if path != "/metrics"},
    key=str,
)
"""The paths of resources. Two answers with the metrics differ, because each request changes them."""

PREFIXES = {Scope.PARTITION: "/v2/partitions/clinic-a", Scope.BASE: "/v2", Scope.UNVERSIONED: ""}


def headers(client: FlaskClient, method: str, url: str, accept: str) -> tuple[int, dict[str, str]]:
    response = client.open(
        url, method=method, headers={"Accept": accept, "Accept-Encoding": "gzip, zstd", "X-Request-Id": "1"}
    )
    assert method == "GET" or response.data == b""
    found = dict(response.headers)
    if "boundary=" in found.get("Content-Type", ""):
        found["Content-Type"] = re.sub(r"boundary=\w+", "", found["Content-Type"])
    return response.status_code, found


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_each_route(client: FlaskClient, accept: str) -> None:
    long = {"StudyDescription": "long " * 12, "PatientComments": "longer " * 1000}  # the metadata is worth compressing
    PartitionClient(client).stored(make_instance(study="2.25.1", series="2.25.2", instance="2.25.3", **long))
    assert client.post("/v2/extendedquerytags", json=[{"path": "PatientAge", "level": "Series"}]).status_code == 202
    statuses = set()
    for scope, path in PATHS:
        url = PREFIXES[scope] + re.sub(r"<(?:\w+:)?(\w+)>", lambda match: VALUES.get(match[1], "PatientAge"), path)
        for each in (url, url + "?limit=1", url + "?limit=x"):
            got, asked = headers(client, "GET", each, accept), headers(client, "HEAD", each, accept)
            assert asked == got, each
            statuses.add(got[0])
    assert {200, 400, 404} <= statuses if accept == "*/*" else 406 in statuses
