"""The page for operators (conformance §1.9, §1.10, §15.4)."""

from __future__ import annotations

from pathlib import Path

from flask.testing import FlaskClient

from app.services.health import HealthCheck
from app.settings import Settings, described_settings
from app.web.routing.dispatch import HEALTH
from tests.conftest import Serve


def test_health_versions_work_and_settings(client: FlaskClient, settings: Settings) -> None:
    text = client.get("/ui/status").text
    for shown in ("Healthy", "Data layout", "Oldest message in the queue", "BULKHEAD_AUDIT_KEY_FILE"):
        assert shown in text
    assert ("SQLite" in text) == (settings.engine == "embedded")


def test_a_value_that_differs_from_the_default_is_marked(serve: Serve) -> None:
    text = serve(cors_max_age=1234).get("/ui/status").text
    assert '<code>1234</code> <span class="badge accent">changed</span>' in text


def test_the_page_is_there_while_a_check_fails(client: FlaskClient) -> None:
    report = client.application.extensions[HEALTH]
    report._checks = {"table": lambda: HealthCheck("table", "Unhealthy", "<b>No answer.</b>")}
    answer = client.get("/ui/status")
    assert answer.status_code == 200
    assert "Unhealthy" in answer.text
    assert "&lt;b&gt;No answer.&lt;/b&gt;" in answer.text


def test_the_password_in_a_url_is_not_shown() -> None:
    settings = Settings(jwt_jwks="https://ann:geheim@keys.test/set", queue_url="", data_dir=Path("data"))
    values = {each.variable: each.value for each in described_settings(settings)}
    assert values["BULKHEAD_JWT_JWKS"] == "https://***@keys.test/set"
    assert values["BULKHEAD_DATA_DIR"] == "./data"
