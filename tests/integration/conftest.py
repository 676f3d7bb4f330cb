"""Fixtures of the tests with real clients: a service, and an empty partition of it for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.integration.copies import served


@pytest.fixture(scope="module")
def service_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a `bulkhead serve` that the tests of a module share."""
    folder = tmp_path_factory.mktemp("archive")
    with served({"BULKHEAD_DATA_DIR": str(folder), "BULKHEAD_LOG_LEVEL": "error"}) as copy:
        yield copy.url


@pytest.fixture
def clinic(service_url: str) -> str:
    """The DICOMweb URL of an empty partition."""
    return f"{service_url}/v2/partitions/{uuid.uuid4().hex}"
