"""Versions, headers, errors, log, health and CORS through HTTP (conformance §1)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import structlog
from flask.testing import FlaskClient

from app import errors
from app.services.update.service import ChangesRefused
from app.storage.table.retry import RetriesExhausted
from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient
from tests.support.faults import FOR_EVER, Rule, fail
from tests.support.faulty_engine import Faults
from tests.support.instances import make_instance

INTERNAL = (
    "The server encountered an internal error. Please retry the request. If the issue persists, please contact support."
)
TEXT = "text/plain; charset=utf-8"


# --- versions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["", "/v1", "/v2", "/v1.0-prerelease"])
def test_a_served_version(client: FlaskClient, version: str) -> None:
    response = client.get(f"{version}/partitions")
    assert response.status_code == 200
    assert response.headers["api-supported-versions"] == "v1, v2"


@pytest.mark.parametrize("path", ["/v3/studies", "/v3", "/v0/partitions", "/v2.1/studies", "/v10/partitions/a/studies"])
def test_an_unknown_version_is_400_and_json(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/json"
    assert response.get_json()["error"]["code"] == "UnsupportedApiVersion"


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1/nothing", "/v2", "/version/studies", "/v2/studies/1.2/nothing", "/v2/health/check"]
)
def test_no_route_is_404_and_text(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.headers["Content-Type"]) == (404, TEXT)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v2/partitions/a/studies"),
        ("DELETE", "/v2/partitions"),
        ("POST", "/v2/changefeed"),
        ("POST", "/health/check"),
    ],
)
def test_another_method_is_405_and_text(client: FlaskClient, method: str, path: str) -> None:
    response = client.open(path, method=method)
    assert (response.status_code, response.headers["Content-Type"]) == (405, TEXT)
    assert "GET" in response.headers["Allow"]


def test_options_names_every_method_of_a_path(client: FlaskClient) -> None:
    response = client.options("/v2/partitions/clinic-a/studies/1.2")
    assert response.status_code == 200
    assert {"GET", "HEAD", "POST", "DELETE", "OPTIONS"} <= set(re.split(r",\s*", response.headers["Allow"]))


def test_head_has_the_headers_of_get(client: FlaskClient) -> None:
    get, head = client.get("/v2/partitions"), client.head("/v2/partitions")
    assert (head.status_code, head.data, head.headers["Content-Length"]) == (200, b"", get.headers["Content-Length"])


def test_a_slash_at_the_end_changes_nothing(client: FlaskClient) -> None:
    assert client.get("/v2/partitions/").status_code == 200
    PartitionClient(client).stored(make_instance())
    assert client.get("/v2/partitions/clinic-a/studies/").status_code == 200


@pytest.mark.parametrize(
    "path", ["/v2/partitions/clinic-a%2Fstudies", "/v2%2fpartitions", "/v2/partitions/clinic-a/studies%2F1.2"]
)
def test_encoded_slashes_lead_to_no_route(client: FlaskClient, path: str) -> None:
    PartitionClient(client).stored(make_instance(study="1.2"))
    assert client.get(path).status_code == 404
    assert PartitionClient(client, path).store(make_instance(), path="").status_code == 404


# --- headers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/partitions", 200),
        ("/v2/changefeed/latest", 204),
        ("/v2/studies", 400),
        ("/v3/studies", 400),
        ("/nothing", 404),
        ("/health/check", 200),
        ("/health/live", 200),
        ("/v2/partitions?a=<", 400),
    ],
)
def test_security_headers_are_always_there(client: FlaskClient, path: str, status: int) -> None:
    response = client.get(path)
    assert response.status_code == status
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert response.headers["Content-Security-Policy"] == "frame-src 'self';"
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("given", ["abc-123", "A.b_C", "x" * 64])
def test_a_harmless_request_id_is_kept(client: FlaskClient, given: str) -> None:
    assert client.get("/v2/partitions", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", 'a"b', "é", None])
def test_any_other_request_id_is_replaced(client: FlaskClient, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-Id": given}
    made = client.get("/nothing", headers=headers).headers["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f]{16}", made)


@pytest.mark.parametrize("query", ["a=<", "a=%3c", "<", "x=1&y=%3Cscript%3E"])
@pytest.mark.parametrize(
    "path", ["/v2/partitions", "/v1/changefeed", "/v2/partitions/clinic-a/studies", "/nothing", "/health/check"]
)
def test_an_angle_bracket_in_the_query_is_400(client: FlaskClient, path: str, query: str) -> None:
    response = client.get(path, query_string=query)
    assert (response.status_code, response.text) == (400, "The query string included invalid characters.")
    assert response.headers["Content-Type"] == TEXT


@pytest.mark.parametrize("host", ["a b", "<a>", "a@b", "a/b", "a:123456", "b\xfccher.example", '"'])
def test_an_invalid_host_is_400(client: FlaskClient, host: str) -> None:
    response = client.get("/v2/partitions", headers={"Host": host})
    assert (response.status_code, response.text) == (400, f"The Host header '{host}' is invalid.")


@pytest.mark.parametrize("host", ["pacs_upstream:8080", "[::1]:8080", "10.0.0.7", "PACS.example."])
def test_links_name_the_host_that_the_client_named(client: FlaskClient, host: str) -> None:
    stored = PartitionClient(client).store(make_instance(study="2.25.1"), path="/studies/2.25.1", Host=host)
    assert stored.get_json(force=True)["00081190"]["Value"] == [f"http://{host}/v2/partitions/clinic-a/studies/2.25.1"]


# --- errors -------------------------------------------------------------------------------------------------------

SAMPLES: list[tuple[errors.BulkheadError, int, str]] = [
    (errors.BulkheadError("secret"), 500, INTERNAL),
    (errors.RecoveryError("why"), 500, INTERNAL),  # only commands raise these two
    (errors.BackupRuns(), 500, INTERNAL),
    (errors.InvalidRequest("why"), 400, "why"),
    (errors.RequestTimeout(), 408, "The request body arrives too slowly."),
    (errors.TokenNotFound("x"), 404, "The specified token with ID 'x' cannot be found."),
    (errors.GrantNotFound("x"), 404, "The specified grant with ID 'x' cannot be found."),
    (errors.InvalidIdentifier("X"), 400, f"Dicom element 'X' failed validation for VR 'UI': {errors.IDENTIFIER_RULE}"),
    (errors.InvalidParameter("X", "why"), 400, "The query parameter 'X' is invalid. why"),
    (errors.InvalidQuery("why"), 400, "why"),
    (errors.PartitionError("why"), 400, "why"),
    (errors.Unauthenticated("why"), 401, "why"),
    (errors.NoCredentials(), 401, "The request has no credentials."),
    (errors.InvalidCredentials(), 401, "The credentials are invalid."),
    (errors.InvalidCredentials(expired=True), 401, "The credentials have expired."),
    (errors.IssuerUnavailable(), 503, "The keys of the issuer of the credentials cannot be read."),
    (errors.AuthorizationFailed(), 403, "Authorization failed."),
    (
        errors.ForeignPage(),
        403,
        "The request comes from a web page of another origin. BULKHEAD_CORS_ORIGINS may allow it.",
    ),
    (
        errors.FormExpired(),
        403,
        "The form is too old, or it is not from this site. Load the page again and repeat the action.",
    ),
    (errors.SignInFailed("why"), 401, "why"),
    (errors.OperationsDisabled(), 400, "Asynchronous operations are temporarily disabled. Please try again later."),
    (errors.ResourceDisabled(), 404, ""),
    (errors.UnsupportedContent("why"), 415, "why"),
    (errors.UnsupportedCoding("why"), 415, "why"),
    (errors.NotAcceptable("why"), 406, "why"),
    (errors.ImageFailure("why"), 406, "why"),
    (errors.DecoderUnavailable("why"), 503, "why"),
    (errors.ChangeFeedBusy(), 503, "The change feed is being read. Please try again later."),
    (errors.RangeNotSatisfiable(7), 416, "The requested range is not satisfiable."),
    (errors.NotAcceptable(""), 406, ""),
    (errors.TooLarge(7), 413, "The request exceeded the allowed limit of 7 bytes."),
    (errors.NotFound("frame"), 404, "The specified frame cannot be found."),
    (errors.InvalidInstance("why"), 400, "why"),
    (errors.WorkitemRefused("why"), 400, "why"),
    (errors.InvalidWorkitem("why"), 400, "why"),
    (errors.WorkitemNotFound(), 404, "The workitem instance is not found."),
    (errors.WorkitemConflict("why"), 409, "why"),
    (errors.InvalidField("a.b", "why"), 400, "The field 'a.b' in request body is invalid: why"),
    (ChangesRefused(["one", "two"]), 400, "one two"),
    (errors.OperationActive("7", "reindex"), 409, "There is already an active re-index operation with ID '7'."),
    (errors.QueryTagNotFound("x"), 404, "The specified extended query tag with tag path x cannot be found."),
    (errors.QueryTagExists(), 409, "One or more extended query tags already exist."),
    (errors.DestinationError("why"), 400, "why"),
    (errors.DestinationRefused("why"), 400, "why"),
    (errors.DestinationUnavailable("why"), 400, "why"),
    (errors.StorageError("secret"), 503, "The data store operation failed."),
    (errors.Conflict(("pk", "sk")), 503, "The data store operation failed."),
    (errors.AuditUnavailable(), 503, "The audit trail cannot be written."),
    (errors.BlobMissing("key"), 404, "The specified instance cannot be found."),
    (RetriesExhausted(), 503, "The data store operation failed."),
    (errors.StorageUnavailable(), 503, "The data store operation failed."),
    (errors.Throttled(), 503, "The data store operation failed."),
    (
        errors.LostData("file", "2.25.1", "2.25.2", "2.25.3"),
        503,
        "The file of the instance 2.25.1/2.25.2/2.25.3 is lost.",
    ),
    (errors.ConfigurationError("secret"), 500, INTERNAL),
    (errors.DataPartitionsFeatureCannotBeDisabledException(), 500, INTERNAL),
]


def _families(root: type[errors.BulkheadError]) -> set[type[errors.BulkheadError]]:
    return {root}.union(*map(_families, root.__subclasses__()))


def test_every_error_class_that_declares_an_answer_has_a_sample() -> None:
    declared = {"status", "public_message", "headers"}
    classes = _families(errors.BulkheadError)
    needed = {kind for kind in classes if kind.__module__ == errors.__name__ or declared & vars(kind).keys()}
    assert needed <= {type(error) for error, _, _ in SAMPLES}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample[0]).__name__)
@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_every_error_class_is_answered(serve: Serve, sample: tuple[errors.BulkheadError, int, str]) -> None:
    error, status, text = sample
    response = _raising(serve, error)
    assert (response.status_code, response.text) == (status, text)
    assert response.headers.get("Content-Type") == (TEXT if text else None)
    assert response.headers["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_an_unexpected_error_is_500_and_logged_without_its_message(serve: Serve) -> None:
    with structlog.testing.capture_logs() as lines:
        response = _raising(serve, ValueError("Doe^Jane"))
    assert (response.status_code, response.text) == (500, INTERNAL)
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert line["error"] == ["ValueError"]
    assert "in broken" in line["traceback"]
    assert line["request_id"] == response.headers["X-Request-Id"]
    assert "Doe" not in json.dumps(lines)


def _raising(serve: Serve, error: Exception) -> Any:
    def broken() -> str:
        raise error

    app = serve().application
    app.add_url_rule("/broken", view_func=broken)
    return app.test_client().get("/broken")


def test_a_failing_store_is_503(client: FlaskClient, faults: Faults) -> None:
    faults.add(Rule(fail(), operation="table.query", times=FOR_EVER))
    response = client.get("/v2/partitions")
    assert (response.status_code, response.text) == (503, "The data store operation failed.")
    assert response.headers["Retry-After"] == "5"


def test_every_error_class_declares_a_status_of_the_conformance_statement() -> None:
    assert {kind.status for kind in _families(errors.BulkheadError)} <= {
        400,
        401,
        403,
        404,
        406,
        408,
        409,
        413,
        415,
        416,
        424,
        500,
        503,
    }


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample[0]).__name__)
@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_every_503_and_no_other_answer_has_retry_after(
    serve: Serve, sample: tuple[errors.BulkheadError, int, str]
) -> None:
    error, status, _ = sample
    assert _raising(serve, error).headers.get("Retry-After") == ("5" if status == 503 else None)


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_an_error_may_carry_headers_of_its_own(serve: Serve) -> None:
    error = errors.InvalidRequest("why")
    error.headers = {"WWW-Authenticate": 'Bearer realm="x"'}
    response = _raising(serve, error)
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="x"'
    assert "WWW-Authenticate" not in _raising(serve, errors.InvalidRequest("why")).headers


# --- log ----------------------------------------------------------------------------------------------------------


def test_one_log_line_per_request_with_the_route_and_without_its_values(client: FlaskClient) -> None:
    PartitionClient(client).stored(make_instance(study="2.25.1", patient_name="Doe^Jane", patient_id="SECRET"))
    with structlog.testing.capture_logs() as lines:
        response = PartitionClient(client).get("/studies/2.25.1/metadata?x=SECRET")
        _ = response.data
        client.get("/v2/partitions/clinic-a/studies?PatientID=SECRET&PatientName=Doe")
        client.get("/nothing/SECRET")
    assert [line["event"] for line in lines] == ["request"] * 3
    first, second, third = lines
    assert first["route"] == "/v2/partitions/<partition>/studies/<study>/metadata"
    assert (first["method"], first["status"], first["partition"]) == ("GET", 200, "clinic-a")
    assert first["request_id"] == response.headers["X-Request-Id"]
    assert first["duration_ms"] > 0
    assert second["route"] == "/v2/partitions/<partition>/studies"
    assert (third["route"], third["status"], third["partition"]) == (None, 404, None)
    said = json.dumps(lines)
    assert not any(word in said for word in ("SECRET", "Doe", "2.25.1"))


# --- health -------------------------------------------------------------------------------------------------------


def test_health(client: FlaskClient) -> None:
    response = client.get("/health/check")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    body = response.get_json()
    assert body["overallStatus"] == "Healthy"
    connected, none_lost = "Successfully connected.", "No stored object was found to be lost."
    descriptions = {"table": connected, "bucket": connected, "queue": connected, "audit": connected, "data": none_lost}
    assert body["details"] == [
        {"name": name, "status": "Healthy", "description": description, "data": {}}
        for name, description in descriptions.items()
    ]


def test_health_is_cached(client: FlaskClient, faults: Faults) -> None:
    assert client.get("/health/check").status_code == 200

    faults.add(Rule(fail(), operation="table.get", times=FOR_EVER))
    assert client.get("/health/check").status_code == 200


def test_a_failing_backend_is_503(client: FlaskClient, faults: Faults) -> None:
    faults.add(Rule(fail(), operation="table.get", times=FOR_EVER))
    response = client.get("/health/check")
    assert response.status_code == 503
    body = response.get_json()
    assert body["overallStatus"] == "Unhealthy"
    statuses = {check["name"]: check["status"] for check in body["details"]}
    assert (statuses["table"], statuses["bucket"]) == ("Unhealthy", "Healthy")


def test_without_its_queue_the_service_is_degraded(client: FlaskClient, faults: Faults) -> None:
    faults.add(Rule(fail(), operation="queue.*", times=FOR_EVER))
    response = client.get("/health/check")
    assert (response.status_code, response.get_json()["overallStatus"]) == (200, "Degraded")
    (queue,) = [check for check in response.get_json()["details"] if check["name"] == "queue"]
    assert queue == {
        "name": "queue",
        "status": "Degraded",
        "description": "The data store operation failed.",
        "data": {},
    }


def test_an_excluded_check_does_not_count(serve: Serve, faults: Faults) -> None:
    client = serve(health_exclude=("table",))

    faults.add(Rule(fail(), operation="table.get", times=FOR_EVER))
    response = client.get("/health/check")
    assert response.status_code == 200
    assert "table" not in {check["name"] for check in response.get_json()["details"]}


# --- CORS ---------------------------------------------------------------------------------------------------------


def test_cors_is_off_by_default(client: FlaskClient) -> None:
    response = client.get("/v2/partitions", headers={"Origin": "https://viewer.example"})
    assert not [name for name in dict(response.headers) if name.startswith("Access-Control")]


def test_cors_as_configured(serve: Serve) -> None:
    client = serve(
        cors_origins=("https://viewer.example",),
        cors_headers=("Authorization", "Content-Type"),
        cors_methods=("GET", "POST"),
        cors_max_age=60,
        cors_credentials=True,
    )
    preflight = client.options(
        "/v2/partitions/clinic-a/studies",
        headers={
            "Origin": "https://viewer.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
    )
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://viewer.example"
    assert preflight.headers["Access-Control-Max-Age"] == "60"
    assert preflight.headers["Access-Control-Allow-Credentials"] == "true"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    before_a_bad_uid = client.options("/v2/partitions/clinic-a/studies/x", headers={"Origin": "https://viewer.example"})
    assert before_a_bad_uid.status_code == 200
    answered = client.get("/v2/studies", headers={"Origin": "https://viewer.example"})
    assert (answered.status_code, answered.headers["Access-Control-Allow-Origin"]) == (400, "https://viewer.example")
    stranger = client.get("/v2/partitions", headers={"Origin": "https://elsewhere.example"})
    assert "Access-Control-Allow-Origin" not in stranger.headers
