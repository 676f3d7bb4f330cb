"""The bytes of one S3 object as a stream that survives a broken connection."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError
from botocore.httpchecksum import StreamingChecksumBody
from urllib3.exceptions import HTTPError

from app.engines.aws.failures import code, read_failure
from app.errors import StorageUnavailable
from app.storage.table import deadline
from app.storage.table.retry import Retry

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

EMPTY_READS: Final = Retry(attempts=5, seconds=120.0, first_pause=0.02, longest_pause=1.0)
"""How many reads in a row may bring no byte before the read of the object fails. Each opens a new connection."""

_CHUNK: Final = 64 * 1024
"""Bytes of one read from the connection. A connection that breaks during a read loses what this read received."""

_BEYOND_END: Final = frozenset({"InvalidRange", "416"})


def open_object(client: S3Client, bucket: str, key: str, start: int = 0, length: int | None = None) -> io.RawIOBase:
    """Return a stream over the bytes of the object from `start`, at most `length` of them (None: to its end).

    A range that begins after the end is empty. Raises `BlobMissing` and `StorageUnavailable`, here and while reading.
    """
    try:
        answer = _get(client, bucket, key, start, length)
    except ClientError as error:
        if code(error) in _BEYOND_END:
            return io.BytesIO()  # type: ignore[return-value]  # has every method of a raw stream
        raise read_failure(error, key) from error
    except BotoCoreError as error:
        raise StorageUnavailable from error
    return ObjectBody(client, bucket, key, start, answer)


class ObjectBody(io.RawIOBase):
    """The body of a GetObject answer.

    When the connection breaks, a new GetObject continues at the first byte that is missing. `If-Match` names the ETag
    of the first answer, so that the bytes of two objects are never joined. Each read returns as many bytes as were
    asked for; only the end of the object makes it shorter. A read that cannot do so raises StorageUnavailable.

    Where S3 sends a checksum of the whole object, it is verified before the last bytes are returned.
    """

    def __init__(self, client: S3Client, bucket: str, key: str, start: int, answer: GetObjectOutputTypeDef) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._position = start
        self._end = start + answer["ContentLength"]
        self._etag = answer.get("ETag", "")
        self._body: StreamingBody = answer["Body"]
        self._checksum = self._body.checksum if isinstance(self._body, StreamingChecksumBody) else None
        self._expected_checksums = _checksums_of(answer)
        self._is_broken = False

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        if self.closed:
            raise ValueError("The stream is closed.")
        left = self._end - self._position
        left = left if size is None or size < 0 else min(left, size)
        chunks = []
        while left:
            chunk = self._next(min(left, _CHUNK))
            chunks.append(chunk)
            left -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        chunk = self.read(len(view))
        view[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        """Close the stream and give its connection back."""
        if not self.closed:
            self._body.close()
        super().close()

    def _next(self, size: int) -> bytes:
        """Return between 1 and `size` bytes. `size` is not more than what is left of the object."""
        return EMPTY_READS.run(partial(self._read_or_resume, size), on=_BrokenOff)

    def _read_or_resume(self, size: int) -> bytes:
        try:
            if self._is_broken:
                self._resume()
            chunk = self._body.read(size)
        except (BotoCoreError, HTTPError, OSError) as error:
            self._is_broken = True
            raise _BrokenOff from error
        if not chunk:
            self._is_broken = True
            raise _BrokenOff
        self._advance(chunk)
        return chunk

    def _advance(self, chunk: bytes) -> None:
        self._position += len(chunk)
        deadline.renew()  # bytes arrive, so the request does not wait for the store
        if self._checksum is None:
            return
        if not isinstance(self._body, StreamingChecksumBody):  # the body of a resumption has no checksum of its own
            self._checksum.update(chunk)
        if self._position == self._end and self._checksum.b64digest() not in self._expected_checksums:
            raise StorageUnavailable from FlexibleChecksumError(error_msg=f"The bytes of {self._key} are damaged.")

    def _resume(self) -> None:
        """Continue at the current position with a new request."""
        self._body.close()
        if not self._etag:
            raise StorageUnavailable
        left = self._end - self._position
        try:
            answer = _get(self._client, self._bucket, self._key, self._position, left, IfMatch=self._etag)
        except ClientError as error:
            raise read_failure(error, self._key) from error
        self._body = answer["Body"]
        self._is_broken = False


class _BrokenOff(Exception):
    """The connection ended before the object did."""


def _get(
    client: S3Client, bucket: str, key: str, start: int, length: int | None, **conditions: str
) -> GetObjectOutputTypeDef:
    """Return the answer to one GetObject. Raises what boto3 raises, and StorageUnavailable for another range."""
    where: Any = {"Bucket": bucket, "Key": key, **conditions}
    if not start and length is None:
        return client.get_object(**where)
    where["Range"] = f"bytes={start}-{'' if length is None else start + length - 1}"
    answer = client.get_object(**where)
    if not answer.get("ContentRange", "").startswith(f"bytes {start}-"):  # some servers ignore a range
        answer["Body"].close()
        raise StorageUnavailable
    return answer


def _checksums_of(answer: GetObjectOutputTypeDef) -> frozenset[object]:
    """Return the checksums of the body that the answer names, in Base64. There is one for each algorithm."""
    return frozenset(value for name, value in answer.items() if name.startswith("Checksum"))
