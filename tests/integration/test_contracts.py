"""The contract suites again, on real servers: DynamoDB Local and `rclone serve s3`.

They show that moto behaves as these servers do.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from app.engines.aws import clients
from app.engines.aws.dynamodb import DynamoTable
from app.engines.aws.provision import create_bucket, create_table
from app.engines.aws.s3 import S3Blobs
from app.storage.table.ports import BlobStore, Table
from tests.contracts.test_blobs import TestDelete, TestOpen, TestPut
from tests.contracts.test_table import TestAdd, TestConditions, TestGetMany, TestItems, TestQuery, TestRaces, TestWrite
from tests.contracts.test_table_model import test_a_table_behaves_like_a_dict
from tests.integration.servers import KEYS, dynamodb_local, s3_server

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

__all__ = [
    "TestAdd",
    "TestConditions",
    "TestDelete",
    "TestGetMany",
    "TestItems",
    "TestOpen",
    "TestPut",
    "TestQuery",
    "TestRaces",
    "TestWrite",
    "test_a_table_behaves_like_a_dict",
]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def _credentials() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", KEYS[0])
        environment.setenv("AWS_SECRET_ACCESS_KEY", KEYS[1])
        environment.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        yield environment


@pytest.fixture(scope="module")
def dynamodb(
    _credentials: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[DynamoDBClient]:
    """A client of DynamoDB Local."""
    with dynamodb_local(tmp_path_factory.mktemp("dynamodb"), pytestconfig.rootpath) as url:
        _credentials.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
        yield clients.dynamodb()


@pytest.fixture(scope="module")
def s3(_credentials: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Client]:
    """A client of the S3 server."""
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        _credentials.setenv("AWS_ENDPOINT_URL_S3", url)
        yield clients.s3()


@pytest.fixture
def table(dynamodb: DynamoDBClient) -> Iterator[Table]:
    """An empty table in DynamoDB Local."""
    name = f"bulkhead-{uuid.uuid4().hex}"
    create_table(dynamodb, name)
    yield DynamoTable(dynamodb, name)
    dynamodb.delete_table(TableName=name)


@pytest.fixture
def blobs(s3: S3Client) -> BlobStore:
    """An empty bucket on the S3 server."""
    name = f"bulkhead-{uuid.uuid4().hex}"
    create_bucket(s3, name)
    return S3Blobs(s3, name)


def test_provisioning_again_changes_nothing(dynamodb: DynamoDBClient, s3: S3Client) -> None:
    for _ in range(2):
        create_table(dynamodb, "again")
        create_bucket(s3, "again")
