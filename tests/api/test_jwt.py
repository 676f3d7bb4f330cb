"""JWTs as credentials: who is let in (conformance §13.1)."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.conftest import Serve
from tests.support.access import authenticated, bearer


@pytest.fixture
def service(serve: Serve, tmp_path: Path) -> FlaskClient:
    """A service that accepts the JWTs of the test issuer."""
    return serve(**authenticated(tmp_path))


def test_a_caller_with_a_role_is_let_in(service: FlaskClient) -> None:
    assert service.get("/v2/partitions", headers=bearer(roles=["Reader"])).status_code == 200
    assert service.get("/v2/partitions").status_code == 401
    refused = service.delete("/v2/partitions/Microsoft.Default/studies/2.25.1", headers=bearer(roles=["reader"]))
    assert (refused.status_code, refused.text) == (403, "Authorization failed.")
