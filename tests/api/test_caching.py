"""Answers with patient data stay out of shared caches, on every route of the table (RFC 9111 §5.2.2)."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from app.web.routes.table import ROUTES
from app.web.routing.route import Route, Scope
from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

one_engine = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
"""The engines do not see headers."""

STUDY, SERIES, INSTANCE = "2.25.1", "2.25.2", "2.25.3"
VALUES = {
    "study": STUDY,
    "series": SERIES,
    "instance": INSTANCE,
    "frames": "1",
    "workitem": "2.25.4",
    "path": "PatientAge",
    "path:element": "7FE00010",
    "operation": "0" * 32,
}
CALLS = [(route, path) for route in ROUTES for path in route.paths]

WITH_PATIENT_DATA = {
    "POST /studies",
    "POST /studies/<study>",
    "GET /studies",
    "GET /series",
    "GET /instances",
    "GET /studies/<study>/series",
    "GET /studies/<study>/instances",
    "GET /studies/<study>/series/<series>/instances",
    "GET /studies/<study>",
    "GET /studies/<study>/series/<series>",
    "GET /studies/<study>/series/<series>/instances/<instance>",
    "GET /studies/<study>/metadata",
    "GET /studies/<study>/series/<series>/metadata",
    "GET /studies/<study>/series/<series>/instances/<instance>/metadata",
    "GET /studies/<study>/bulkdata",
    "GET /studies/<study>/series/<series>/bulkdata",
    "GET /studies/<study>/series/<series>/instances/<instance>/bulkdata",
    "GET /studies/<study>/pixeldata",
    "GET /studies/<study>/series/<series>/pixeldata",
    "GET /studies/<study>/series/<series>/instances/<instance>/pixeldata",
    "GET /studies/<study>/series/<series>/instances/<instance>/bulkdata/<path:element>",
    "GET /studies/<study>/series/<series>/instances/<instance>/frames",
    "GET /studies/<study>/series/<series>/instances/<instance>/frames/<frames>",
    "GET /studies/<study>/series/<series>/instances/<instance>/rendered",
    "GET /studies/<study>/series/<series>/instances/<instance>/frames/<frames>/rendered",
    "GET /studies/<study>/rendered",
    "GET /studies/<study>/series/<series>/rendered",
    "GET /studies/<study>/thumbnail",
    "GET /studies/<study>/series/<series>/thumbnail",
    "GET /studies/<study>/series/<series>/instances/<instance>/thumbnail",
    "GET /studies/<study>/series/<series>/instances/<instance>/frames/<frames>/thumbnail",
    "GET ",
    "GET /wado",
    "POST /workitems",
    "GET /workitems",
    "GET /workitems/<workitem>",
    "POST /workitems/<workitem>",
    "PUT /workitems/<workitem>/state",
    "POST /workitems/<workitem>/cancelrequest",
    "GET /changefeed",
    "GET /changefeed/latest",
    "GET /extendedquerytags/<path>/errors",
    "GET /operations/<operation>",
}


def test_the_routes_with_patient_data() -> None:
    assert {f"{route.method} {path}" for route, path in CALLS if route.patient_data} == WITH_PATIENT_DATA


@pytest.fixture
def stored(client: FlaskClient) -> FlaskClient:
    """One instance in the partition clinic-a."""
    PartitionClient(client).stored(make_instance(study=STUDY, series=SERIES, instance=INSTANCE))
    return client


@one_engine
@pytest.mark.parametrize(("route", "path"), CALLS, ids=[f"{r.method} {p} {r.versions[0].name}" for r, p in CALLS])
def test_every_route_protects_its_patient_data(stored: FlaskClient, route: Route, path: str) -> None:
    for name, text in VALUES.items():
        path = path.replace(f"<{name}>", text)
    root = {
        **dict.fromkeys((Scope.PARTITION, Scope.BELOW_PARTITION), "/partitions/clinic-a"),
        Scope.BASE: "",
        Scope.UNVERSIONED: "",
    }[route.scope]
    version = "" if route.scope is Scope.UNVERSIONED else f"/{route.versions[0].name}"
    response = stored.open(version + root + path, method=route.method, data=b"x" if route.body else None)
    cache_control, vary = response.headers.get("Cache-Control"), response.headers.get("Vary", "")
    if not route.patient_data:
        expected = "no-store" if "/access/" in path else None  # an answer has the secret of a token
        expected = "no-cache" if "/api." in path else expected  # it has an ETag and no patient data
        assert (cache_control, vary.replace("Accept-Encoding", "")) == (expected, "")
    else:
        assert cache_control == ("private, no-cache" if "ETag" in response.headers else "private, no-store")
        assert {each.strip() for each in vary.split(",")} - {"Accept-Encoding"} == {"Accept", "Authorization"}
    if path.endswith("/metadata"):
        assert response.status_code == 200
        assert cache_control == "private, no-cache"


@one_engine
def test_not_modified_is_protected_too(stored: FlaskClient) -> None:
    clinic = PartitionClient(stored)
    etag = clinic.get(f"/studies/{STUDY}/metadata").headers["ETag"]
    response = clinic.get(f"/studies/{STUDY}/metadata", If_None_Match=etag)
    assert response.status_code == 304
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.headers["Vary"] == "Accept, Authorization, Accept-Encoding"


@one_engine
@pytest.mark.parametrize("path", [f"/studies/{STUDY}", "/studies/not-a-uid", "/studies/2.25.404/metadata"])
def test_errors_are_protected_too(stored: FlaskClient, path: str) -> None:
    response = PartitionClient(stored).get(path, accept="nothing/at-all")
    assert response.status_code >= 400
    assert response.headers["Cache-Control"] == "private, no-store"


@one_engine
def test_cors_keeps_its_own_vary(serve: Serve) -> None:
    client = serve(cors_origins=("https://one.example", "https://two.example"))
    PartitionClient(client).stored(make_instance(study=STUDY))
    response = PartitionClient(client).get("/studies", Origin="https://one.example")
    assert response.headers["Access-Control-Allow-Origin"] == "https://one.example"
    varies = {each.strip() for line in response.headers.getlist("Vary") for each in line.split(",")}
    assert varies == {"Accept", "Accept-Encoding", "Authorization", "Origin"}
