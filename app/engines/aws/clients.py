"""boto3 clients with the same settings: enough connections for the threads of a process, short timeouts, few retries.

The SDK repeats a failed call up to three times, with pauses of up to 7 seconds in all. It does not repeat it when the
request that makes the call has waited as long as it may (`storage/table/deadline.py`).

boto3 finds region, credentials and endpoints in its usual places (`AWS_DEFAULT_REGION`, `AWS_ENDPOINT_URL_S3`, …).
Threads may share a client. Make clients after a fork, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from app.engines.aws.attempts import counted
from app.errors import ConfigurationError
from app.storage.table import deadline

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

C = TypeVar("C", bound=Any)

DEFAULT_CONNECTIONS: Final = 32
"""Connections that each client keeps; at least the number of threads that call at once."""

_UNCHECKED: Final = Config(parameter_validation=False)
"""DynamoDB checks the attributes anyway, and a check by boto3 takes much of the CPU time of a call."""


def dynamodb(connections: int = DEFAULT_CONNECTIONS) -> DynamoDBClient:
    """Return a DynamoDB client. Raises ConfigurationError when boto3 lacks something, the region for instance."""
    try:
        config = _config(connections, read_timeout=5).merge(_UNCHECKED)
        return counted(_within_deadline(boto3.session.Session().client("dynamodb", config=config)))
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"DynamoDB cannot be reached as configured: {error}") from error


def sqs(connections: int = DEFAULT_CONNECTIONS) -> SQSClient:
    """Return an SQS client whose timeout is longer than a long poll. Raises ConfigurationError as `dynamodb` does."""
    try:
        return counted(
            _within_deadline(boto3.session.Session().client("sqs", config=_config(connections, read_timeout=30)))
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"SQS cannot be reached as configured: {error}") from error


def s3(connections: int = DEFAULT_CONNECTIONS) -> S3Client:
    """Return an S3 client that also works with S3-compatible servers. Raises ConfigurationError as `dynamodb` does."""
    try:
        return counted(_within_deadline(s3_client(boto3.session.Session(), _config(connections, read_timeout=15))))
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"S3 cannot be reached as configured: {error}") from error


def s3_client(session: boto3.session.Session, config: Config, endpoint: str | None = None) -> S3Client:
    """Return an S3 client of the session; `endpoint` overrides the configured URL. Raises what boto3 raises.

    AWS itself sends and verifies checksums of all bodies. Other servers often refuse them, and often do not resolve
    `bucket.host`; they get the bucket in the path of the URL.
    """
    client = session.client("s3", endpoint_url=endpoint, config=config.merge(_AT_AWS))
    if is_at_aws(urlsplit(client.meta.endpoint_url).hostname or ""):
        return client
    return session.client("s3", endpoint_url=endpoint, config=config.merge(_ELSEWHERE))


def is_at_aws(host: str) -> bool:
    """Return whether the host belongs to AWS."""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _within_deadline(client: C) -> C:
    """Return the client. It repeats no call after the deadline of the request that makes the call."""
    client.meta.events.register("request-created", _stop_at_deadline)
    return client


def _stop_at_deadline(request: AWSRequest, **_: object) -> None:
    """Raise `DeadlinePassed` before a call is sent again. The first attempt is always made."""
    attempt = request.context.get("retries", {}).get("attempt", 1)
    if attempt > 1 and deadline.has_passed():
        raise deadline.DeadlinePassed


def _config(connections: int, read_timeout: int) -> Config:
    return Config(
        max_pool_connections=connections,
        retries={"mode": "standard", "total_max_attempts": 4},
        connect_timeout=3,
        read_timeout=read_timeout,
        tcp_keepalive=True,
    )


_AT_AWS: Final = Config(
    request_checksum_calculation="when_supported",
    response_checksum_validation="when_supported",
)
_ELSEWHERE: Final = Config(
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    s3={"addressing_style": "path"},
)
