"""The description of the service at the roots (conformance §1.13, PS3.18 §8.9)."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from flask.testing import FlaskClient

from app.web.routes.table import ROUTES
from app.web.routing.route import Scope
from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

pytestmark = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
"""The engines do not see routes."""

WADL = "application/vnd.sun.wadl+xml"
NAMESPACE = "{http://wadl.dev.java.net/2009/02}"
ROOT = "/v2/partitions/clinic-a"


def described(client: FlaskClient, url: str) -> dict[str, dict[str, Any]]:
    """Return the methods by path, each by its name, from the description in JSON."""
    response = client.options(url, headers={"Accept": "application/json"})
    assert (response.status_code, response.content_type) == (200, "application/json"), response.text
    resources = response.get_json()["application"]["resources"]["resource"]
    return {each["path"]: {method["name"]: method for method in each["method"]} for each in resources}


@pytest.fixture
def stored(client: FlaskClient) -> FlaskClient:
    PartitionClient(client).stored(make_instance())
    return client


def test_the_root_of_a_partition_describes_every_route_of_partitions(stored: FlaskClient) -> None:
    found = described(stored, ROOT)
    routes = [route for route in ROUTES if route.scope in (Scope.PARTITION, Scope.BELOW_PARTITION)]
    assert sum(len(methods) for methods in found.values()) == len({(r.method, p) for r in routes for p in r.paths})
    metadata = found["studies/{study}/series/{series}/metadata"]["GET"]
    assert [each["status"] for each in metadata["response"]] == ["200", "304"]
    assert {"mediaType": "application/dicom+json"} in metadata["response"][0]["representation"]
    assert {"name": "viewport", "style": "query"} in found["studies/{study}/rendered"]["GET"]["request"]["param"]
    assert {"name": "studyUID", "style": "query"} in found[""]["GET"]["request"]["param"]
    assert "changefeed" not in found
    stored_types = found["studies"]["POST"]["request"]["representation"]
    assert any("application/dicom" in each["mediaType"] for each in stored_types)


def test_wadl_is_the_default_and_says_the_same(stored: FlaskClient) -> None:
    for accept in ({}, {"Accept": "*/*"}, {"Accept": WADL}, {"Accept": f"application/json;q=0.5, {WADL}"}):
        response = stored.options(ROOT, headers=accept)
        assert (response.status_code, response.content_type) == (200, WADL)
        root = ElementTree.fromstring(response.data)
        assert root.tag == f"{NAMESPACE}application"
        resources = root.find(f"{NAMESPACE}resources")
        assert resources is not None
        assert resources.get("base") == f"http://localhost{ROOT}/"
        found = {str(each.get("path")): each for each in resources}
        methods = {
            path: {str(method.get("name")) for method in each.iter(f"{NAMESPACE}method")}
            for path, each in found.items()
        }
        assert methods == {path: set(each) for path, each in described(stored, ROOT).items()}
        templates = [each.get("name") for each in found["studies/{study}"].findall(f"{NAMESPACE}param")]
        assert templates == ["study"]


def test_the_base_describes_the_routes_of_all_partitions(client: FlaskClient) -> None:
    for url in ("/v2", "/v2/", "/"):
        found = described(client, url)
        assert {"changefeed", "partitions", "operations/{operation}", "partitions/{partition}/studies"} <= set(found)
        assert "partitions/{partition}" in found
        assert "studies" not in found


def test_without_partitions_the_base_has_the_routes(serve: Serve) -> None:
    client = serve(enable_data_partitions=False)
    found = described(client, "/v2")
    assert {"changefeed", "studies", "wado", ""} <= set(found)
    assert not any(path.startswith("partitions/") for path in found)
    assert client.options(ROOT).status_code == 400


def test_versions_and_features_that_are_off_are_left_out(serve: Serve) -> None:
    assert "studies/$bulkUpdate" in described(serve(enable_data_partitions=False), "/v2")
    assert "studies/$bulkUpdate" not in described(serve(enable_data_partitions=False), "/v1")
    assert "export" in described(serve(enable_data_partitions=False, enable_export=True), "/v2")
    assert "export" not in described(serve(enable_data_partitions=False, enable_export=False), "/v2")


def test_an_unknown_partition_and_another_media_type(stored: FlaskClient) -> None:
    assert stored.options("/v2/partitions/nobody").status_code == 400
    assert stored.options(ROOT, headers={"Accept": "text/html"}).status_code == 406


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        (ROOT, "GET, HEAD, OPTIONS"),
        ("/v2", "GET, HEAD, OPTIONS"),
        (f"{ROOT}/wado", "GET, HEAD, OPTIONS"),
        (f"{ROOT}/studies", "GET, HEAD, OPTIONS, POST"),
        (f"{ROOT}/studies/2.25.1", "DELETE, GET, HEAD, OPTIONS, POST"),
        (f"{ROOT}/export", "OPTIONS, POST"),
    ],
)
def test_every_path_names_its_methods(stored: FlaskClient, path: str, methods: str) -> None:
    for method in ("OPTIONS", "PATCH"):
        response = stored.open(path, method=method)
        assert response.status_code == (200 if method == "OPTIONS" else 405)
        assert ", ".join(sorted(response.headers["Allow"].split(", "))) == methods


def test_a_preflight_has_its_own_answer(serve: Serve) -> None:
    client = serve(cors_origins=("https://viewer.example",))
    preflight = {"Origin": "https://viewer.example", "Access-Control-Request-Method": "GET"}
    response = client.options("/v2", headers=preflight)
    assert (response.status_code, response.data) == (204, b"")
    assert response.headers["Access-Control-Allow-Origin"] == "https://viewer.example"
