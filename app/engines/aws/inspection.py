"""Reads from table, bucket and queue for `bulkhead doctor`: does each answer, and what does its clock say? They change
nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from app.engines.aws.failures import code
from app.storage.table import keys

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

_CREDENTIALS: Final = "Correct the credentials: AWS_PROFILE, AWS_ACCESS_KEY_ID, or the role of this machine."
_RIGHTS: Final = "Give the credentials the rights that infra/template.yaml lists."
_TABLE: Final = "Create it with `bulkhead init`, or correct BULKHEAD_TABLE or AWS_DEFAULT_REGION."
_BUCKET: Final = "Create it with `bulkhead init`, or correct BULKHEAD_BUCKET or AWS_DEFAULT_REGION."
_QUEUE: Final = "Correct BULKHEAD_QUEUE_URL or AWS_DEFAULT_REGION."
_NETWORK: Final = "Check the network, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL."
_CLOCK: Final = "Set the clock of this machine, or correct the secret key."

_ADVICE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"), _CREDENTIALS),
    **dict.fromkeys(("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"), _CREDENTIALS),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "SignatureDoesNotMatch"), _CREDENTIALS),
    **dict.fromkeys(("InvalidSignatureException", "RequestTimeTooSkewed", "RequestExpired"), _CLOCK),
    **dict.fromkeys(("AccessDenied", "AccessDeniedException", "403"), _RIGHTS),
    **dict.fromkeys(("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError"), _NETWORK),
    **dict.fromkeys(("ConnectionClosedError", "SSLError", "ProxyConnectionError"), _NETWORK),
    "ResourceNotFoundException": _TABLE,
    "ValidationException": "Name a table in BULKHEAD_TABLE whose keys are pk and sk, both of type S.",
    "NoSuchBucket": _BUCKET,
    **dict.fromkeys(("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"), _QUEUE),
}
"""What to mend, by the code of an answer of AWS or the class of an error of boto3."""


class NoAnswer(Exception):
    """A part of AWS does not answer the call. `advice` says what to mend, `date` is the clock of AWS if known."""

    def __init__(self, reason: str, advice: str, date: datetime | None = None) -> None:
        super().__init__(reason)
        self.advice = advice
        self.date = date


def read_table(client: DynamoDBClient, name: str) -> datetime | None:
    """Read one item. Return the time of the answer. Raises `NoAnswer`."""
    pk, sk = keys.LAYOUT
    return _date_of(lambda: client.get_item(TableName=name, Key={"pk": {"S": pk}, "sk": {"S": sk}}))


def read_bucket(client: S3Client, name: str) -> datetime | None:
    """Ask for the bucket. Return the time of the answer. Raises `NoAnswer`."""
    return _date_of(lambda: client.head_bucket(Bucket=name), not_found=_BUCKET)


def read_queue(client: SQSClient, url: str) -> datetime | None:
    """Ask for an attribute of the queue. Return the time of the answer. Raises `NoAnswer`."""
    return _date_of(lambda: client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"]))


def _date_of(call: Callable[[], Any], not_found: str = _NETWORK) -> datetime | None:
    """Return the time of the answer to a call. `not_found` is the advice for a bare 404, which no part of AWS gives but
    S3."""
    try:
        return _date(call())
    except ClientError as error:
        advice = not_found if code(error) == "404" else _ADVICE.get(code(error), "The text names the reason.")
        raise NoAnswer(str(error), advice, _date(error.response)) from error
    except BotoCoreError as error:
        raise NoAnswer(str(error), _ADVICE.get(type(error).__name__, _NETWORK)) from error


def _date(answer: Mapping[str, Any]) -> datetime | None:
    text = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
