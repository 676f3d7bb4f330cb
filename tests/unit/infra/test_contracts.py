"""The contract suites of both ports, on the table and the bucket of the template."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from app.engines.aws import clients
from app.engines.aws.dynamodb import DynamoTable
from app.engines.aws.s3 import S3Blobs
from app.storage.table.ports import BlobStore, Table
from tests.contracts import test_blobs, test_table
from tests.unit.infra.stack import Stack, deployed_stack

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

# Every suite, also later ones, except those with several threads: moto in one process is not safe for threads. DynamoDB
# keeps these promises, not the template, and tests/integration runs them on a real server.
globals().update(
    {name: each for suite in (test_table, test_blobs) for name, each in vars(suite).items() if name.startswith("Test")}
)
del globals()["TestRaces"]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with deployed_stack() as stack:
        yield stack


@pytest.fixture(scope="module")
def dynamodb(stack: Stack) -> DynamoDBClient:
    return clients.dynamodb()


@pytest.fixture(scope="module")
def s3(stack: Stack) -> S3Client:
    return clients.s3()


@pytest.fixture(params=["moto"])  # by this name the suites skip what moto does differently
def table(stack: Stack, dynamodb: DynamoDBClient) -> Iterator[Table]:
    """The table of the template. It is emptied after each test."""
    yield DynamoTable(dynamodb, stack.table)
    for page in dynamodb.get_paginator("scan").paginate(TableName=stack.table, ProjectionExpression="pk, sk"):
        for key in page["Items"]:
            dynamodb.delete_item(TableName=stack.table, Key=key)


@pytest.fixture(params=["moto"])
def blobs(stack: Stack, s3: S3Client) -> Iterator[BlobStore]:
    """The bucket of the template. It is emptied after each test."""
    store = S3Blobs(s3, stack.bucket)
    yield store
    listed = s3.get_paginator("list_objects_v2").paginate(Bucket=stack.bucket)
    store.delete(found["Key"] for page in listed for found in page.get("Contents", ()))
