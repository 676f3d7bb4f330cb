"""Uploads of bodies of any size, by the managed transfer of the SDK.

A body of 8 MiB or more is uploaded in parts. The object becomes visible when all parts have arrived. If one fails, the
SDK aborts the upload and S3 removes the parts. A kill -9 leaves an unfinished upload, which nobody can read. The
lifecycle rule of the bucket removes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, Final

from boto3.s3.transfer import TransferConfig

from app.storage.table import deadline

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART_BYTES: Final = 8 * 1024 * 1024
"""Size of a part. S3 takes 10,000 parts, so an object of 80 GB at most."""

IN_ONE_THREAD: Final = TransferConfig(
    multipart_threshold=PART_BYTES,
    multipart_chunksize=PART_BYTES,
    use_threads=False,
    preferred_transfer_client="classic",
)
"""One part after the other. At most one part is in memory."""


def in_threads(parts: int, uploads: int) -> TransferConfig:
    """Return the configuration of a transfer manager that has at most `parts` parts in flight, of all its uploads.

    It reads from at most `uploads` bodies at once. Each of these holds one further part, so the memory of the manager
    is at most `PART_BYTES * (parts + uploads)`.
    """
    config = TransferConfig(
        multipart_threshold=PART_BYTES,
        multipart_chunksize=PART_BYTES,
        max_concurrency=parts,
        preferred_transfer_client="classic",
    )
    config.max_in_memory_upload_chunks = parts
    config.max_submission_concurrency = uploads
    return config


def upload_arguments(client: S3Client) -> dict[str, Any]:
    """Return the arguments with which S3 keeps a checksum of the whole object when it arrives in parts.

    Without them S3 keeps a checksum of the checksums of the parts, which a reader of the object cannot verify.
    """
    if client.meta.config.request_checksum_calculation != "when_supported":  # type: ignore[attr-defined]
        return {}
    return {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}


class CountedBody:
    """A body for the managed transfer, and the number of bytes that were read from it.

    The transfer takes a short read for the end of the body. A socket or a pipe may return less than was asked for, so
    each read is repeated until it is complete.
    """

    def __init__(self, body: BinaryIO, first: bytes = b"") -> None:
        self._body = body
        self._first = first
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, all of the body for a negative size, less at its end only."""
        chunks = []
        while size and (chunk := self._chunk(size)):
            chunks.append(chunk)
            size -= len(chunk) if size > 0 else 0
        deadline.renew()  # the store takes bytes, so the request does not wait for it
        content = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self.size += len(content)
        return content

    def _chunk(self, size: int) -> bytes:
        if not self._first:
            return self._body.read(size)
        chunk = self._first if size < 0 else self._first[:size]
        self._first = self._first[len(chunk) :]
        return chunk
