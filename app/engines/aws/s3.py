"""The `BlobStore` port on one S3 bucket, or that of an S3-compatible server."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.manager import TransferManager

from app.engines.aws.failures import code, read_failure, translated
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

_NOT_OFFERED: Final = frozenset({"NotImplemented", "501"})


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
        self._versioned: bool | None = None

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
        """Remove the objects, and all their versions if the bucket keeps versions. A kill -9 leaves some objects."""
        pending = iter(keys)
        while chunk := list(islice(pending, _DELETE_BATCH)):
            with translated():
                objects = self._identified(chunk)
                self._delete(objects)

    def listed(self, prefix: str = "", after: str = "") -> Iterator[StoredBlob]:
        """Yield the objects in the order of their keys. This is one ListObjectsV2 for a thousand of them."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, StartAfter=after
        )
        with translated():
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield StoredBlob(entry["Key"], entry["Size"], entry["LastModified"].timestamp())

    def _identified(self, keys: list[str]) -> Iterator[ObjectIdentifierTypeDef]:
        if not self._keeps_versions():
            for key in keys:
                yield {"Key": key}
            return
        for key in keys:
            for page in self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=key):
                for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                    if entry["Key"] == key:
                        yield {"Key": key, "VersionId": entry["VersionId"]}

    def _delete(self, objects: Iterator[ObjectIdentifierTypeDef]) -> None:
        while chunk := list(islice(objects, _DELETE_BATCH)):
            answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": chunk, "Quiet": True})
            if answer.get("Errors"):
                raise StorageUnavailable

    def _keeps_versions(self) -> bool:
        if self._versioned is None:
            try:
                self._versioned = "Status" in self._client.get_bucket_versioning(Bucket=self._bucket)
            except ClientError as error:
                if code(error) not in _NOT_OFFERED:
                    raise
                self._versioned = False
        return self._versioned
