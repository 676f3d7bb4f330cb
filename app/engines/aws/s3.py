"""The `BlobStore` port on one S3 bucket, or that of an S3-compatible server."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.manager import TransferManager

from app.engines.aws.failures import read_failure, translated
from app.engines.aws.object_body import open_object
from app.engines.aws.uploads import CountedBody, in_threads, upload_arguments
from app.errors import StorageUnavailable
from app.storage.table.ports import StoredBlob
from app.storage.table.threads import ContextThreads

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

_SMALL_BYTES: Final = 1024 * 1024
"""Smaller bodies are stored by one PutObject, without the threads and the bookkeeping of a managed upload."""

_PARTS_AT_ONCE: Final = 6
_UPLOADS_AT_ONCE: Final = 2
"""Parts and bodies of the managed uploads of one process; together they take 64 MiB of memory at most."""

_DELETE_BATCH: Final = 1000
"""Keys in one DeleteObjects. This is a limit of S3."""


class S3Blobs:
    """A `BlobStore` in `bucket`, for any number of processes on any number of machines.

    An object becomes visible when it is complete. A kill -9 during `put` leaves nothing, or an unfinished multipart
    upload, which the lifecycle rule of the bucket removes. Make one after a fork, not before: uploads have threads.
    """

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._transfers = TransferManager(
            client, in_threads(_PARTS_AT_ONCE, _UPLOADS_AT_ONCE), executor_cls=ContextThreads
        )

    def put(self, key: str, body: BinaryIO) -> int:
        """Store the rest of `body` and return its size in bytes.

        A small body is one PutObject from the calling thread. A larger one is a managed upload.
        """
        first = CountedBody(body).read(_SMALL_BYTES)
        if len(first) == _SMALL_BYTES:
            return self._upload(key, CountedBody(body, first))
        with translated():
            self._client.put_object(Bucket=self._bucket, Key=key, Body=first)
        return len(first)

    def _upload(self, key: str, body: CountedBody) -> int:
        with translated():
            arguments = upload_arguments(self._client)
            self._transfers.upload(cast(BinaryIO, body), self._bucket, key, arguments).result()
        return body.size

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        """Return a stream of one GetObject, which survives broken connections. Close it to free its connection."""
        if start < 0 or (length is not None and length < 0):
            raise ValueError(f"A range cannot start at {start} with length {length}.")
        if length == 0:
            self._require(key)
            return io.BytesIO()
        return cast(BinaryIO, open_object(self._client, self._bucket, key, start, length))

    def _require(self, key: str) -> None:
        try:
            self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            raise read_failure(error, key) from error
        except BotoCoreError as error:
            raise StorageUnavailable from error

    def delete(self, keys: Iterable[str]) -> None:
        """Remove the objects. A kill -9 leaves some of them.

        In a bucket with versions a deletion is a marker. The object can be restored until a rule of the bucket removes
        it. The service itself removes no version, so its role needs no right to do so.
        """
        pending = iter(keys)
        while chunk := list(islice(pending, _DELETE_BATCH)):
            with translated():
                self._delete([{"Key": key} for key in chunk])

    def listed(self, prefix: str = "", after: str = "") -> Iterator[StoredBlob]:
        """Yield the objects in the order of their keys. This is one ListObjectsV2 for a thousand of them."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, StartAfter=after
        )
        with translated():
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield StoredBlob(entry["Key"], entry["Size"], entry["LastModified"].timestamp())

    def _delete(self, objects: list[ObjectIdentifierTypeDef]) -> None:
        answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
        if answer.get("Errors"):
            raise StorageUnavailable
