"""Callers of a fresh archive."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.api.wire import Caller


@pytest.fixture
def clinic(client: FlaskClient) -> Caller:
    """Calls in partition clinic-a, version 2."""
    return Caller(client)


@pytest.fixture
def strict(client: FlaskClient) -> Caller:
    """Calls in partition clinic-a, version 1."""
    return Caller(client, "/v1/partitions/clinic-a")
