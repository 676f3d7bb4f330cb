"""Exports into a bucket: in any region, of any account, or of another S3-compatible store.

If one credential reaches both buckets, S3 copies the stored objects. Otherwise they pass through this process, in parts
of a few mebibytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast
from urllib.parse import quote, urlsplit

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
)
from botocore.exceptions import ConnectionError as NoConnection

from app.engines.aws.clients import is_at_aws
from app.engines.aws.export_clients import Clients
from app.engines.aws.failures import code
from app.engines.aws.uploads import IN_ONE_THREAD, CountedBody
from app.errors import BlobMissing, ConfigurationError, DestinationRefused, DestinationUnavailable, StorageUnavailable
from app.storage.operations.destinations import S3Target
from app.storage.table.ports import BlobStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef

_COPY_LIMIT: Final = 5 * 1024**3
"""Bytes of the largest object that one CopyObject copies. This is a limit of S3."""

_COPIED_PARTS: Final = TransferConfig(multipart_threshold=1, multipart_chunksize=1024**3, use_threads=False)
"""How an object is copied that is too large for one CopyObject."""

_NOT_FOUND: Final = frozenset({"NoSuchBucket", "404", "NotFound"})
_NO_OBJECT: Final = frozenset({"NoSuchKey"})
_UNAUTHORISED_STATUSES: Final = frozenset({401, 403})
_TRANSIENT_STATUSES: Final = frozenset({408, 429})
_TRANSIENT_CODES: Final = frozenset({"RequestTimeout", "ExpiredToken", "OperationAborted"})
"""Errors of status 4xx that another attempt may not meet."""

_UNAUTHORISED: Final = "Not authorised to write to the bucket '{}'."
_FAILED: Final = "Writing to the bucket '{}' failed."


class S3Exports:
    """Opens destinations in S3.

    `home` returns the client of the service itself. `bucket` is the bucket of `blobs`, "" if they are not in S3.
    """

    def __init__(self, home: Callable[[], S3Client], bucket: str, blobs: BlobStore) -> None:
        self._clients = Clients(home)
        self._bucket = bucket
        self._blobs = blobs

    def open(self, target: S3Target, operation: str) -> S3Destination:
        """Return the destination that the target names, with its role assumed. Raises `DestinationRefused`."""
        source = self._bucket if not target.endpoint else ""
        if source == target.bucket:
            raise DestinationRefused("The archive's own bucket is no destination of an export.")
        with _translated(target.bucket):
            return S3Destination(self._clients.of(target, operation), target, source=source, blobs=self._blobs)


class S3Destination:
    """A `Destination` in a bucket. `source` is the bucket of the stored blobs, or "" if S3 cannot copy them."""

    def __init__(self, client: S3Client, target: S3Target, *, source: str, blobs: BlobStore) -> None:
        self._client = client
        self._target = target
        self._source = source
        self._blobs = blobs
        self._encryption = {
            name: value
            for name, value in (("ServerSideEncryption", target.sse), ("SSEKMSKeyId", target.kms_key))
            if value
        }

    def url(self, key: str) -> str:
        """Return the URL of the object. The bucket is the first part of the host at AWS, of the path elsewhere."""
        bucket, path = self._target.bucket, quote(self._target.prefix + key)
        scheme, host, *_ = urlsplit(self._client.meta.endpoint_url)
        if is_at_aws(host) and "." not in bucket:  # the certificate covers one label
            return f"{scheme}://{bucket}.{host}/{path}"
        return f"{scheme}://{host}/{bucket}/{path}"

    def write(self, key: str, body: BinaryIO, content_type: str) -> None:
        """Upload the body: in one PutObject, or in parts if it has 8 MiB or more.

        A kill -9 leaves nothing, or an unfinished upload, which the lifecycle rule of the bucket may remove.
        """
        try:
            with _translated(self._target.bucket):
                self._client.upload_fileobj(
                    cast(BinaryIO, CountedBody(body)),
                    self._target.bucket,
                    self._target.prefix + key,
                    ExtraArgs={"ContentType": content_type, **self._encryption},
                    Config=IN_ONE_THREAD,
                )
        except OSError as error:  # a local file could not be read; boto3 raises its own errors
            raise StorageUnavailable from error

    def copy(self, blob: str, size: int, key: str, content_type: str) -> None:
        """Let S3 copy the blob. If S3 refuses, read the blob and upload it.

        A refusal does not name the bucket that it is about. If the upload succeeds, the credential does not reach our
        bucket, and later files of this destination are uploaded at once. If the upload fails, its error says why.
        """
        source = self._source
        if source and self._copy_within_s3({"Bucket": source, "Key": blob}, size, key, content_type):
            return
        with self._blobs.open(blob) as body:
            self.write(key, body, content_type)
        self._source = ""

    def _copy_within_s3(self, source: CopySourceTypeDef, size: int, key: str, content_type: str) -> bool:
        where: Any = {"Bucket": self._target.bucket, "Key": self._target.prefix + key, "CopySource": source}
        how: Any = {"ContentType": content_type, "MetadataDirective": "REPLACE", **self._encryption}
        with _translated(self._target.bucket):
            try:
                if size > _COPY_LIMIT:
                    self._client.copy(**where, ExtraArgs=how, Config=_COPIED_PARTS)
                else:
                    self._client.copy_object(**where, **how)
            except ClientError as error:
                if code(error) in _NO_OBJECT:
                    raise BlobMissing(source["Key"]) from error
                if _is_final(error):
                    return False
                raise
        return True


@contextmanager
def _translated(bucket: str) -> Iterator[None]:
    """Raise the errors of the port for those of boto3. Their messages contain no text of a server."""
    try:
        yield
    except ClientError as error:
        if not _is_final(error):
            raise DestinationUnavailable(f"The bucket '{bucket}' did not take what was written.") from error
        raise DestinationRefused(_refusal(error).format(bucket)) from error
    except (NoConnection, HTTPClientError) as error:
        raise DestinationUnavailable(f"Cannot connect to the bucket '{bucket}'.") from error
    except (NoCredentialsError, CredentialRetrievalError) as error:
        raise DestinationRefused(_UNAUTHORISED.format(bucket)) from error
    except (BotoCoreError, ConfigurationError) as error:
        raise DestinationRefused(_FAILED.format(bucket)) from error


def _refusal(error: ClientError) -> str:
    if code(error) in _NOT_FOUND:
        return "The bucket '{}' was not found."
    return _UNAUTHORISED if _status(error) in _UNAUTHORISED_STATUSES else _FAILED


def _is_final(error: ClientError) -> bool:
    """Return whether another attempt would get the same answer."""
    return (
        300 <= _status(error) < 500
        and _status(error) not in _TRANSIENT_STATUSES
        and code(error) not in _TRANSIENT_CODES
    )


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
