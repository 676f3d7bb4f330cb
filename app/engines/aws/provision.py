"""Creation of the table and the bucket for `bulkhead init`. Both functions may be called again at any time.

A deployment from `infra/template.yaml` does not need them: the template creates both.
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
RESTORABLE_DAYS: Final = 35
"""How long a bucket keeps deleted objects: as long as point-in-time recovery can restore the table."""

_EXISTS: Final = frozenset({"ResourceInUseException", "BucketAlreadyOwnedByYou"})
_MISSING: Final = frozenset({"404", "NoSuchBucket"})
_NOT_OFFERED: Final = frozenset(
    {
        "UnknownOperationException",
        "NotImplemented",
        "MethodNotAllowed",
        "BucketAlreadyExists",  # a server without `?encryption` takes the call for a CreateBucket
    }
)
_NO_CONSTRAINT: Final = "us-east-1"
"""The only region that a CreateBucket may not name."""


def create_table(client: DynamoDBClient, name: str) -> None:
    """Create the table: encrypted, billed on demand, with point-in-time recovery. Wait until it can be used.

    Raises ConfigurationError when a table of that name has other keys.
    """
    with translated():
        _succeeds(
            client.create_table,
            _EXISTS,
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=_KEYS,
            AttributeDefinitions=[{"AttributeName": key["AttributeName"], "AttributeType": "S"} for key in _KEYS],
            SSESpecification={"Enabled": True},
        )
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 2, "MaxAttempts": 60})
        if client.describe_table(TableName=name)["Table"]["KeySchema"] != _KEYS:
            raise ConfigurationError(f"The DynamoDB table {name!r} has other keys than pk (partition) and sk (sort).")
        _succeeds(
            client.update_continuous_backups,
            _NOT_OFFERED,
            TableName=name,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )


def create_bucket(client: S3Client, name: str) -> None:
    """Create the bucket: encrypted, not public, with versions. Old versions are removed after 35 days, and unfinished
    multipart uploads after a day.

    The settings of a bucket that exists are not changed.
    """
    region = client.meta.region_name
    where: dict[str, Any] = {}
    if region != _NO_CONSTRAINT:
        where["CreateBucketConfiguration"] = {"LocationConstraint": region}
    with translated():
        if _succeeds(client.head_bucket, _MISSING, Bucket=name):
            return
        _succeeds(client.create_bucket, _EXISTS, Bucket=name, **where)
        for setting, value in _BUCKET_SETTINGS.items():
            _succeeds(getattr(client, setting), _NOT_OFFERED, Bucket=name, **value)


def _succeeds(call: Callable[..., Any], tolerated: frozenset[str], **request: object) -> bool:
    """Make the call. Return False if it fails with a tolerated code, True if it succeeds. Raises every other error."""
    try:
        call(**request)
    except ClientError as error:
        if code(error) not in tolerated:
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
    "put_bucket_versioning": {"VersioningConfiguration": {"Status": "Enabled"}},
    "put_bucket_lifecycle_configuration": {
        "LifecycleConfiguration": {
            "Rules": [
                {
                    "ID": "abort-stale-uploads",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                },
                {
                    "ID": "remove-old-versions",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "NoncurrentVersionExpiration": {"NoncurrentDays": RESTORABLE_DAYS},
                    "Expiration": {"ExpiredObjectDeleteMarker": True},
                },
            ]
        }
    },
}
