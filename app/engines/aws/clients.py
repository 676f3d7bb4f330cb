"""boto3 clients, tuned alike: one session a process, enough connections for its threads, short timeouts, few retries.

Region, credentials and endpoints come from where boto3 looks for them (`AWS_DEFAULT_REGION`, `AWS_ENDPOINT_URL_S3`, …).
Clients may be shared by threads; make them after a fork, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from app.errors import ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

DEFAULT_CONNECTIONS: Final = 32
"""Connections kept per client; at least the number of threads that call at once."""

_UNCHECKED: Final = Config(parameter_validation=False)
"""Checking the nested attributes that we build ourselves is a good part of a call's CPU time; DynamoDB checks them."""


def dynamodb(connections: int = DEFAULT_CONNECTIONS) -> DynamoDBClient:
    """Return a DynamoDB client. Raises ConfigurationError when boto3 lacks something, the region for instance."""
    try:
        return boto3.session.Session().client(
            "dynamodb", config=_config(connections, read_timeout=10).merge(_UNCHECKED)
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"DynamoDB cannot be reached as configured: {error}") from error


def sqs(connections: int = DEFAULT_CONNECTIONS) -> SQSClient:
    """Return an SQS client that waits out a long poll. Raises ConfigurationError as `dynamodb` does."""
    try:
        return boto3.session.Session().client("sqs", config=_config(connections, read_timeout=30))
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"SQS cannot be reached as configured: {error}") from error


def s3(connections: int = DEFAULT_CONNECTIONS) -> S3Client:
    """Return an S3 client that also works with S3-compatible servers. Raises ConfigurationError as `dynamodb` does."""
    try:
        session = boto3.session.Session()
        config = _config(connections, read_timeout=30)
        client = session.client("s3", config=config)
        if (urlsplit(client.meta.endpoint_url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn")):
            return client
        # other servers seldom resolve `bucket.host`
        return session.client("s3", config=config.merge(Config(s3={"addressing_style": "path"})))
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"S3 cannot be reached as configured: {error}") from error


def _config(connections: int, read_timeout: int) -> Config:
    return Config(
        max_pool_connections=connections,
        retries={"mode": "standard", "total_max_attempts": 4},
        connect_timeout=3,
        read_timeout=read_timeout,
        tcp_keepalive=True,
        # S3-compatible servers refuse the trailing checksums that are sent otherwise
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
