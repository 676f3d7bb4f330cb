"""Fixtures of the tests with real clients: a service, and an empty partition of it for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.copies import served
from tests.integration.servers import KEYS, dynamodb_local, s3_server


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


@pytest.fixture
def aws_servers(tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """DynamoDB Local and an S3 server, both empty, which boto3 uses in this test."""
    folders = [tmp_path / name for name in ("dynamodb", "s3")]
    for folder in folders:
        folder.mkdir()
    with dynamodb_local(folders[0], pytestconfig.rootpath) as dynamodb, s3_server(folders[1]) as s3:
        for name, value in {
            "AWS_ACCESS_KEY_ID": KEYS[0],
            "AWS_SECRET_ACCESS_KEY": KEYS[1],
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb,
            "AWS_ENDPOINT_URL_S3": s3,
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }.items():
            monkeypatch.setenv(name, value)
        yield
