"""`bulkhead init` on AWS: what it creates, and that it is safe to repeat."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.engines.aws import clients
from app.engines.aws.provision import RESTORABLE_DAYS, create_bucket, create_table
from app.errors import ConfigurationError, StorageUnavailable
from tests.support.aws import OTHER_REGION, mocked_aws


@pytest.fixture(autouse=True)
def _aws() -> Iterator[None]:
    with mocked_aws(OTHER_REGION):
        yield


def test_the_table() -> None:
    client = clients.dynamodb()
    for _ in range(2):
        create_table(client, "t")
    table = client.describe_table(TableName="t")["Table"]
    assert [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] == [("pk", "HASH"), ("sk", "RANGE")]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["SSEDescription"]["Status"] == "ENABLED"
    backups = client.describe_continuous_backups(TableName="t")["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


def test_a_table_with_other_keys() -> None:
    client = clients.dynamodb()
    client.create_table(
        TableName="t",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    with pytest.raises(ConfigurationError, match="'t' has other keys"):
        create_table(client, "t")


def test_the_bucket() -> None:
    client = clients.s3()
    create_bucket(client, "bucket")
    rules = client.get_bucket_encryption(Bucket="bucket")["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert all(client.get_public_access_block(Bucket="bucket")["PublicAccessBlockConfiguration"].values())
    lifecycle = client.get_bucket_lifecycle_configuration(Bucket="bucket")["Rules"]
    assert lifecycle[0]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert client.get_bucket_versioning(Bucket="bucket")["Status"] == "Enabled"
    assert lifecycle[1]["NoncurrentVersionExpiration"] == {"NoncurrentDays": RESTORABLE_DAYS}


def test_the_settings_of_an_existing_bucket_do_not_change() -> None:
    client = clients.s3()
    create_bucket(client, "bucket")
    client.delete_bucket_lifecycle(Bucket="bucket")
    create_bucket(client, "bucket")
    with pytest.raises(client.exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
        client.get_bucket_lifecycle_configuration(Bucket="bucket")


def test_the_region_without_a_constraint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = clients.s3()
    create_bucket(client, "bucket")
    assert client.head_bucket(Bucket="bucket")


def test_an_invalid_name() -> None:
    with pytest.raises(StorageUnavailable):
        create_bucket(clients.s3(), "Not A Bucket")
