"""Making the table and the bucket, for `bulkhead init`; both may be called again at any time.

Where infrastructure is described as code (`infra/template.yaml`), that makes them and this is not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from app.engines.aws.failures import code, translated
from app.errors import ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import KeySchemaElementTypeDef
    from mypy_boto3_s3 import S3Client

_KEYS: Final[list[KeySchemaElementTypeDef]] = [
    {"AttributeName": "pk", "KeyType": "HASH"},
    {"AttributeName": "sk", "KeyType": "RANGE"},
]
_EXISTS: Final = frozenset({"ResourceInUseException", "BucketAlreadyOwnedByYou"})
_MISSING: Final = frozenset({"404", "NoSuchBucket"})
_NOT_OFFERED: Final = frozenset(
    {
        "UnknownOperationException",
        "NotImplemented",
        "MethodNotAllowed",
        "BucketAlreadyExists",  # a server that does not know `?encryption` takes it for another CreateBucket
    }
)
_NO_CONSTRAINT: Final = "us-east-1"
"""The one region that CreateBucket must not be told."""


def create_table(client: DynamoDBClient, name: str) -> None:
    """Make the table, encrypted, billed on demand, with point-in-time recovery, and wait until it is usable.

    Raises ConfigurationError when there is a table of that name with other keys.
    """
    with translated():
        _unless(
            _EXISTS,
            client.create_table,
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=_KEYS,
            AttributeDefinitions=[{"AttributeName": key["AttributeName"], "AttributeType": "S"} for key in _KEYS],
            SSESpecification={"Enabled": True},
        )
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 2, "MaxAttempts": 60})
        if client.describe_table(TableName=name)["Table"]["KeySchema"] != _KEYS:
            raise ConfigurationError(f"The DynamoDB table {name!r} has other keys than pk (partition) and sk (sort).")
        _unless(
            _NOT_OFFERED,
            client.update_continuous_backups,
            TableName=name,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )


def create_bucket(client: S3Client, name: str) -> None:
    """Make the bucket, encrypted, closed to the public, with stale multipart uploads removed after a day.

    The settings of a bucket that is already ours are left alone.
    """
    region = client.meta.region_name
    where: dict[str, Any] = {}
    if region != _NO_CONSTRAINT:
        where["CreateBucketConfiguration"] = {"LocationConstraint": region}
    with translated():
        if _unless(_MISSING, client.head_bucket, Bucket=name):
            return
        _unless(_EXISTS, client.create_bucket, Bucket=name, **where)
        for setting, value in _BUCKET_SETTINGS.items():
            _unless(_NOT_OFFERED, getattr(client, setting), Bucket=name, **value)


def _unless(codes: frozenset[str], call: Callable[..., Any], **request: object) -> bool:
    """Make the call; return False when it fails with one of the codes."""
    try:
        call(**request)
    except ClientError as error:
        if code(error) not in codes:
            raise
        return False
    return True


_BUCKET_SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "put_bucket_encryption": {
        "ServerSideEncryptionConfiguration": {
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        }
    },
    "put_public_access_block": {
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        }
    },
    "put_bucket_lifecycle_configuration": {
        "LifecycleConfiguration": {
            "Rules": [
                {
                    "ID": "abort-stale-uploads",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                }
            ]
        }
    },
}
