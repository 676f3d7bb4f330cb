"""The `BlobStore` port on one S3 bucket, or that of an S3-compatible server."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from botocore.exceptions import BotoCoreError, ClientError

from app.engines.aws.failures import code, translated
from app.errors import BlobMissing, StorageUnavailable

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, ObjectIdentifierTypeDef

_PART_BYTES: Final = 8 * 1024 * 1024
"""Larger bodies go up in parts of this size; it is what a put holds in memory. S3 takes 10,000 parts: 80 GB."""

_DELETE_BATCH: Final = 1000
"""Keys in one DeleteObjects; S3's limit."""

_MISSING: Final = frozenset({"NoSuchKey", "404"})
_BEYOND_END: Final = frozenset({"InvalidRange", "416"})
_NOT_OFFERED: Final = frozenset({"NotImplemented", "501"})


class S3Blobs:
    """A `BlobStore` in `bucket`, for any number of processes on any number of machines.

    An object shows once it is whole. A killed put leaves nothing, or an unfinished multipart upload, which the bucket's
    lifecycle rule removes.
    """

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._versioned: bool | None = None

    def put(self, key: str, body: BinaryIO) -> int:
        """Store the rest of `body` and return its size in bytes; one PutObject, or a multipart upload over 8 MiB."""
        first = _filled(body)
        if len(first) == _PART_BYTES:
            return self._put_parts(key, first, body)
        with translated():
            self._client.put_object(Bucket=self._bucket, Key=key, Body=first)
        return len(first)

    def _put_parts(self, key: str, part: bytes, body: BinaryIO) -> int:
        with translated():
            upload = self._client.create_multipart_upload(Bucket=self._bucket, Key=key)["UploadId"]
        where: Any = {"Bucket": self._bucket, "Key": key, "UploadId": upload}
        try:
            size = 0
            parts: list[CompletedPartTypeDef] = []
            while part:
                number = len(parts) + 1
                with translated():
                    answer = self._client.upload_part(**where, PartNumber=number, Body=part)
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
                size += len(part)
                part = _filled(body)
            with translated():
                self._client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
        except BaseException:
            with suppress(StorageUnavailable), translated():
                self._client.abort_multipart_upload(**where)
            raise
        return size

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        """Return a stream of one GetObject; close it to give the connection back."""
        if start < 0 or (length is not None and length < 0):
            raise ValueError(f"A range cannot start at {start} with length {length}.")
        where: Any = {"Bucket": self._bucket, "Key": key}
        try:
            if length == 0:
                self._client.head_object(**where)
                return io.BytesIO()
            if start or length is not None:
                where["Range"] = f"bytes={start}-{'' if length is None else start + length - 1}"
            return cast(BinaryIO, _Stream(self._client.get_object(**where)["Body"]))
        except ClientError as error:
            if code(error) in _BEYOND_END:
                return io.BytesIO()
            raise (BlobMissing(key) if code(error) in _MISSING else StorageUnavailable()) from error
        except BotoCoreError as error:
            raise StorageUnavailable from error

    def delete(self, keys: Iterable[str]) -> None:
        """Remove the objects, with all their versions where the bucket keeps versions; 1000 a call."""
        pending = iter(keys)
        while chunk := list(islice(pending, _DELETE_BATCH)):
            with translated():
                objects = self._identified(chunk)
                self._delete(objects)

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


class _Stream(io.RawIOBase):
    """The body of an answer as a raw stream; a broken connection raises StorageUnavailable."""

    def __init__(self, body: StreamingBody) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        with translated():
            return self._body.read(None if size is None or size < 0 else size)

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        chunk = self.read(len(view))
        view[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()


def _filled(body: BinaryIO) -> bytes:
    """Return the next part of the body: shorter than a whole one only at its end."""
    chunks = []
    left = _PART_BYTES
    while chunk := body.read(left):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)
