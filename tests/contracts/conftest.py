"""The engines of the contract suites that need no server: the embedded engine, and AWS simulated by moto.

A suite is a class whose tests use the fixture `table` or `blobs`. To run it on another engine, import the class into a
module that has its own fixture of that name. tests/integration/test_contracts.py and tests/contracts/test_faults.py do.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.engines.aws import clients
from app.engines.aws.dynamodb import DynamoTable
from app.engines.aws.provision import create_bucket, create_table
from app.engines.aws.s3 import S3Blobs
from app.engines.embedded.blobs import EmbeddedBlobs
from app.engines.embedded.sqlite import SqliteTable
from app.storage.table.ports import BlobStore, Table
from tests.support.aws import OTHER_REGION, mocked_aws

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Aws:
    """Clients, and a new name for a table or bucket."""

    dynamodb: DynamoDBClient
    s3: S3Client
    name: str


@pytest.fixture(scope="module")
def _moto() -> Iterator[tuple[DynamoDBClient, S3Client]]:
    with mocked_aws(OTHER_REGION):
        yield clients.dynamodb(), clients.s3()


@pytest.fixture
def moto(_moto: tuple[DynamoDBClient, S3Client]) -> Aws:
    """AWS, simulated by moto in this process."""
    return Aws(*_moto, name=f"bulkhead-{uuid.uuid4().hex}")


@pytest.fixture(params=["embedded", "moto"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Table]:
    """An empty table of each engine."""
    if request.param == "embedded":
        embedded = SqliteTable(tmp_path / "index.db")
        yield embedded
        embedded.close()
    else:
        moto: Aws = request.getfixturevalue("moto")
        create_table(moto.dynamodb, moto.name)
        yield DynamoTable(moto.dynamodb, moto.name)


@pytest.fixture(params=["embedded", "moto"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """An empty blob store of each engine."""
    if request.param == "embedded":
        return EmbeddedBlobs(tmp_path / "blobs", 50)
    moto: Aws = request.getfixturevalue("moto")
    create_bucket(moto.s3, moto.name)
    return S3Blobs(moto.s3, moto.name)
