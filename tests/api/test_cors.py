"""Calls and embedding from web pages of other origins (conformance §1.3)."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

VIEWER = "https://viewer.example"
OTHER = "https://other.example"
STRANGER = "https://stranger.example"
POLICY = "Cross-Origin-Resource-Policy"


@pytest.fixture
def named(serve: Serve) -> FlaskClient:
    """A service that two named origins may call."""
    return serve(cors_origins=(VIEWER, OTHER))


@pytest.fixture
def open_to_all(serve: Serve) -> FlaskClient:
    """A service that any origin may call."""
    return serve(cors_origins=("*",))


def preflight(client: FlaskClient, path: str, method: str = "GET", origin: str = VIEWER) -> TestResponse:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "accept,x-custom",
    }
    return client.options(path, headers=asked)


def test_a_script_can_read_the_headers_of_an_answer(open_to_all: FlaskClient) -> None:
    clinic = PartitionClient(open_to_all)
    clinic.stored(make_instance(study="2.25.1"))
    answers = [clinic.get(path, Origin=VIEWER) for path in ("/studies/2.25.1/metadata", "/studies/x", "/nothing")]
    assert [answer.status_code for answer in answers] == [200, 400, 404]
    for answer in answers:
        exposed = {name.strip().lower() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
        assert exposed >= {
            "etag", "location", "content-location", "content-range", "accept-ranges", "warning", "retry-after",
            "erroneous-dicom-attributes", "x-request-id", "api-supported-versions",
        }  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "/v2/partitions/clinic-a/studies/1.2/nothing",
        "/nothing",
        "/v3/studies",
        "/v2/partitions/clinic-a/studies/not-a-uid",
        "/v2/partitions/clinic-a/studies?PatientName=%3Cx",
        "/v2/partitions/clinic-a/studies",
        "//studies",
        "/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_preflight_of_every_path_is_answered(open_to_all: FlaskClient, path: str, method: str) -> None:
    answer = preflight(open_to_all, path, method)
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", VIEWER)
    assert method in answer.headers["Access-Control-Allow-Methods"]
    assert {"accept", "x-custom"} == set(answer.headers["Access-Control-Allow-Headers"].split(", "))


def test_a_preflight_of_a_stranger_allows_nothing(named: FlaskClient) -> None:
    answer = preflight(named, "/v2/partitions/clinic-a/studies", origin=STRANGER)
    assert not [name for name in dict(answer.headers) if name.startswith("Access-Control")]
    assert POLICY not in answer.headers


def test_without_origins_a_preflight_is_an_ordinary_request(client: FlaskClient) -> None:
    answer = preflight(client, "/v2/nothing")
    assert answer.status_code == 404
    assert not [name for name in dict(answer.headers) if name.startswith(("Access-Control", "Cross-Origin"))]


def test_options_that_are_no_preflight_name_the_methods(open_to_all: FlaskClient) -> None:
    answer = open_to_all.options("/v2/partitions/clinic-a/workitems", headers={"Origin": VIEWER})
    assert (answer.status_code, "POST" in answer.headers["Allow"]) == (200, True)
    assert open_to_all.options("/v2/nothing", headers={"Origin": VIEWER}).status_code == 404


@pytest.mark.parametrize(
    ("origin", "allowed"), [(VIEWER, True), (OTHER, True), (None, True), (STRANGER, False), ("null", False)]
)
def test_resource_policy_and_allowed_origin(named: FlaskClient, origin: str | None, allowed: bool) -> None:
    answer = named.get("/v2/partitions", headers={} if origin is None else {"Origin": origin})
    assert answer.headers.get(POLICY) == ("cross-origin" if allowed else None)
    if origin:
        assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)


def test_credentials_as_configured(serve: Serve) -> None:
    with_credentials = serve(cors_origins=(VIEWER,), cors_credentials=True)
    answer = with_credentials.get("/v2/partitions", headers={"Origin": VIEWER})
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Allow-Origin"] == VIEWER


def test_no_credentials_by_default(named: FlaskClient) -> None:
    answer = named.get("/v2/partitions", headers={"Origin": VIEWER})
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_framing_is_refused_by_default(client: FlaskClient) -> None:
    answer = client.get("/v2/partitions")
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert answer.headers["Content-Security-Policy"] == "frame-src 'self';"
    assert POLICY not in answer.headers


@pytest.mark.parametrize(
    ("origins", "ancestors"), [((VIEWER, OTHER), f"'self' {VIEWER} {OTHER}"), (("*",), "*"), ((VIEWER, "*"), "*")]
)
def test_configured_origins_may_frame(serve: Serve, origins: tuple[str, ...], ancestors: str) -> None:
    answer = serve(cors_origins=origins).get("/v2/nothing")
    assert answer.headers.getlist("Content-Security-Policy") == [f"frame-src 'self'; frame-ancestors {ancestors};"]
    assert "X-Frame-Options" not in answer.headers


@pytest.mark.parametrize("origin", [None, VIEWER, STRANGER])
@pytest.mark.parametrize("path", ["/studies", "/studies/x", "/nothing"])
def test_a_cache_keeps_answers_to_pages_and_to_others_apart(named: FlaskClient, origin: str | None, path: str) -> None:
    answer = PartitionClient(named).get(path, **({} if origin is None else {"Origin": origin}))
    assert "origin" in {each.strip().lower() for each in answer.headers["Vary"].split(",")}
