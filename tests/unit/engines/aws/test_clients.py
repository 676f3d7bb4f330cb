"""The configuration of clients, and the error when boto3 cannot make one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.engines.aws import clients, export_clients
from app.errors import ConfigurationError


def test_connections_timeouts_and_retries() -> None:
    for client in (clients.dynamodb(7), clients.s3(7)):
        config: Any = client.meta.config
        assert config.max_pool_connections == 7
        assert config.retries == {"mode": "standard", "total_max_attempts": 4}
        assert config.connect_timeout < config.read_timeout <= 30
        assert config.tcp_keepalive


@pytest.mark.parametrize(
    ("endpoint", "checksums"),
    [
        ("", "when_supported"),
        ("https://bucket.vpce-1a-2b.s3.eu-central-1.vpce.amazonaws.com", "when_supported"),
        ("http://storage:9000", "when_required"),
    ],
)
def test_checksums_are_on_at_aws(monkeypatch: pytest.MonkeyPatch, endpoint: str, checksums: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    exported = export_clients._make(export_clients.ClientKey(region="eu-west-1", endpoint=endpoint))
    for client in (clients.s3(), exported):
        config: Any = client.meta.config
        assert config.request_checksum_calculation == checksums
        assert config.response_checksum_validation == checksums


def test_other_servers_get_the_bucket_in_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    where = {"Bucket": "images", "Key": "k"}
    assert clients.s3().generate_presigned_url("get_object", where).startswith("https://images.s3.")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://storage:9000")
    assert clients.s3().generate_presigned_url("get_object", where).startswith("http://storage:9000/images/k?")


def test_no_region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match=r"DynamoDB cannot be reached .* region"):
        clients.dynamodb()


def test_invalid_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "not a url")
    with pytest.raises(ConfigurationError, match="S3 cannot be reached as configured"):
        clients.s3()
