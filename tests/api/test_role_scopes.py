"""A role that counts only in some partitions, granted in others (conformance §13.3, §13.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from tests.conftest import Serve
from tests.support.access import authenticated, bearer
from tests.support.query_tags import TAGS

ROLES = [{"name": "technician", "dataActions": ["read", "write"], "scopes": ["/partitions/ct"]}]


@pytest.fixture
def service(tmp_path: Path, serve: Serve) -> FlaskClient:
    file = tmp_path / "roles.json"
    file.write_bytes(orjson.dumps(ROLES))
    return serve(**authenticated(tmp_path, roles_file=file))


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
@pytest.mark.parametrize("path", ["/v2/changefeed", "/v2/changefeed/latest", TAGS])
@pytest.mark.parametrize(("partitions", "is_allowed"), [(["ct"], True), (["c*"], True), (["clinic-a", "mr*"], False)])
def test_a_role_counts_only_where_its_scopes_and_its_grant_meet(
    service: FlaskClient, partitions: list[str], is_allowed: bool, path: str
) -> None:
    grants: list[dict[str, Any]] = [{"role": "technician", "partitions": partitions}]
    answer = service.get(path, headers=bearer(grants=grants))
    assert (answer.status_code != 403) == is_allowed
