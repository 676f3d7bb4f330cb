"""Clients that reach nothing: answers come from a stub, or from moto."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from botocore.stub import Stubber

from app.engines.aws import clients

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="package", autouse=True)
def _credentials() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(variable, "testing")
        environment.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        yield


@pytest.fixture(scope="package")
def dynamodb(_credentials: None) -> DynamoDBClient:
    """A client; making one takes a third of a second."""
    return clients.dynamodb()


@pytest.fixture(scope="package")
def s3(_credentials: None) -> S3Client:
    """A client."""
    return clients.s3()


@pytest.fixture
def dynamodb_stub(dynamodb: DynamoDBClient) -> Iterator[Stubber]:
    """What DynamoDB answers, in order; every answer has to be asked for."""
    with Stubber(dynamodb) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def s3_stub(s3: S3Client) -> Iterator[Stubber]:
    """What S3 answers, in order; every answer has to be asked for."""
    with Stubber(s3) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each pause before a repeated call would have been, in seconds."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept
