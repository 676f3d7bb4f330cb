"""Clients that reach nothing. Their answers come from a stub or from moto."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from botocore.stub import Stubber

from app.engines.aws import clients
from tests.support.aws import OTHER_REGION, aws_environment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="package", autouse=True)
def _credentials() -> Iterator[None]:
    with aws_environment(OTHER_REGION):
        yield


@pytest.fixture(scope="package")
def dynamodb(_credentials: None) -> DynamoDBClient:
    """A client. It is made once, since that takes a third of a second."""
    return clients.dynamodb()


@pytest.fixture(scope="package")
def s3(_credentials: None) -> S3Client:
    """A client."""
    return clients.s3()


@pytest.fixture
def dynamodb_stub(dynamodb: DynamoDBClient) -> Iterator[Stubber]:
    """The answers of DynamoDB, in order. The test fails unless all of them are used."""
    with Stubber(dynamodb) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def s3_stub(s3: S3Client) -> Iterator[Stubber]:
    """The answers of S3, in order. The test fails unless all of them are used."""
    with Stubber(s3) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each pause before a repeated call. Nothing waits."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept
