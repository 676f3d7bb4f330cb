"""The health routes while backends fail or hang (conformance §1.10)."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from app.services import health_report
from app.web import liveness
from app.web.headers import ALWAYS
from tests.conftest import Serve
from tests.support.faults import FOR_EVER, Rule, fail, run
from tests.support.faulty_engine import Faults
from tests.support.waiting import wait_until

NOT_ENDED = "The check did not end in time."


@pytest.fixture
def hanging_table(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rule]:
    """The table does not answer before the end of the test. Probes lose their patience soon."""
    monkeypatch.setattr(health_report, "PATIENCE_SECONDS", 0.02)
    released = threading.Event()
    yield faults.add(Rule(run(released.wait), operation="table.get", times=FOR_EVER))
    released.set()


def health_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "health"}


def test_live_and_ready_of_a_healthy_service(client: FlaskClient) -> None:
    for path in ("/health/live", "/health/ready"):
        response = client.get(path)
        assert (response.status_code, response.json) == (200, {"status": "Healthy"})
        assert response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_live_asks_no_backend(client: FlaskClient, faults: Faults) -> None:
    faults.calls.clear()
    assert client.get("/health/live").status_code == 200
    assert client.head("/health/live").status_code == 200
    assert not faults.calls


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
@pytest.mark.parametrize("operation", ["table.get", "blobs.open"])
def test_ready_needs_table_and_bucket(client: FlaskClient, faults: Faults, operation: str) -> None:
    faults.add(Rule(fail(), operation=operation, times=FOR_EVER))
    response = client.get("/health/ready")
    assert (response.status_code, response.json) == (503, {"status": "Unhealthy"})
    assert response.headers["Retry-After"] == "5"
    assert client.get("/health/live").status_code == 200


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_ready_does_not_need_the_queue(client: FlaskClient, faults: Faults) -> None:
    faults.add(Rule(fail(), operation="queue.*", times=FOR_EVER))
    assert client.get("/health/ready").status_code == 200


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_ready_does_not_need_an_excluded_backend(serve: Serve, faults: Faults) -> None:
    client = serve(health_exclude=("table",))
    faults.add(Rule(fail(), operation="table.get", times=FOR_EVER))
    assert client.get("/health/ready").status_code == 200


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_an_unexpected_error_of_a_check_is_a_failed_check(client: FlaskClient, faults: Faults) -> None:
    faults.add(Rule(fail(ValueError("secret")), operation="table.get", times=FOR_EVER))
    response = client.get("/health/check")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert response.json["details"][0]["description"] == "The check failed."
    assert client.get("/health/ready").status_code == 503


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_no_probe_waits_for_a_backend_that_hangs(client: FlaskClient, hanging_table: Rule) -> None:
    response = client.get("/health/check")
    assert (response.status_code, response.json["overallStatus"]) == (503, "Unhealthy")
    descriptions = {check["name"]: check["description"] for check in response.json["details"]}
    assert descriptions == dict.fromkeys(("table", "bucket", "queue", "audit", "data"), NOT_ENDED)
    assert client.get("/health/ready").status_code == 503
    assert client.get("/health/live").status_code == 200


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_a_backend_that_hangs_keeps_one_thread(client: FlaskClient, hanging_table: Rule) -> None:
    before = health_threads()  # those of earlier tests may end at any time
    for _ in range(5):
        assert client.get("/health/check").status_code == 503
    wait_until(lambda: hanging_table.hits == 1)
    assert len(health_threads() - before) == 1


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_the_last_result_is_used_while_a_backend_is_slow(
    serve: Serve, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()
    assert client.get("/health/check").status_code == 200

    monkeypatch.setattr(health_report, "PATIENCE_SECONDS", 0.02)
    monkeypatch.setattr(health_report, "FRESH_SECONDS", 0)
    released = threading.Event()
    slow = faults.add(Rule(run(released.wait), operation="table.get", times=FOR_EVER))
    assert client.get("/health/check").status_code == 200
    wait_until(lambda: slow.hits == 1)

    monkeypatch.setattr(health_report, "KEPT_SECONDS", 0)
    assert client.get("/health/check").status_code == 503
    assert client.get("/health/ready").status_code == 200
    released.set()


def test_the_server_can_answer_live_without_the_application(client: FlaskClient) -> None:
    head, _, body = liveness.whole_answer(ALWAYS).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    response = client.get("/health/live")
    assert (status, body) == ("HTTP/1.1 200 OK", response.data)
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers.items() <= dict(response.headers).items()
    assert liveness.whole_answer(ALWAYS, with_body=False) == head + b"\r\n\r\n"
    assert liveness.is_live_path("/Health/LIVE")
    assert not liveness.is_live_path("/health/lives")
