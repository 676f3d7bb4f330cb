"""Callers of a fresh archive."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.dicomweb import PartitionClient


@pytest.fixture
def clinic(client: FlaskClient) -> PartitionClient:
    """Calls in partition clinic-a, version 2."""
    return PartitionClient(client)


@pytest.fixture
def strict(client: FlaskClient) -> PartitionClient:
    """Calls in partition clinic-a, version 1."""
    return PartitionClient(client, "/v1/partitions/clinic-a")
