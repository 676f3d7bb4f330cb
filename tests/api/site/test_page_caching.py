"""No shared cache keeps a page: each page names its caller, and its forms have the token of one session."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.support.callers import authenticate, embedded


@pytest.fixture
def stranger(tmp_path: Path) -> FlaskClient:
    """A browser without credentials, at a service that authenticates."""
    app = embedded(tmp_path)
    authenticate(app, {})
    return app.test_client()


@pytest.mark.parametrize("path", ["/docs", "/docs/api", "/docs/glossary", "/docs/none", "/ui/none", "/ui/sign-in"])
def test_a_page_without_patient_data_is_private(stranger: FlaskClient, path: str) -> None:
    (cached,) = stranger.get(path).headers.getlist("Cache-Control")
    assert cached in ("private, no-cache", "no-store")


def test_a_page_with_patient_data_is_not_stored(tmp_path: Path) -> None:
    answer = embedded(tmp_path).test_client().get("/ui/operations")
    assert answer.headers.getlist("Cache-Control") == ["private, no-store"]
