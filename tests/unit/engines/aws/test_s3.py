"""How `S3Blobs` handles the answers of S3, including those that moto never gives."""

from __future__ import annotations

import base64
import io
import random
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.httpchecksum import StreamingChecksumBody
from urllib3 import HTTPResponse

from app.engines.aws import clients
from app.engines.aws.provision import create_bucket
from app.engines.aws.s3 import S3Blobs
from app.errors import BlobMissing, StorageUnavailable
from app.storage.table.deadline import Deadline, seconds_left, within
from tests.support.aws import OTHER_REGION, mocked_aws
from tests.support.clock import ManualClock

if TYPE_CHECKING:
    from botocore.stub import Stubber
    from mypy_boto3_s3 import S3Client

MIB = 1024 * 1024


@pytest.fixture
def blobs(s3: S3Client) -> S3Blobs:
    return S3Blobs(s3, "bucket")


def calls(blobs: S3Blobs) -> dict[str, Any]:
    return {
        "put_object": lambda: blobs.put("k", io.BytesIO(b"x")),
        "create_multipart_upload": lambda: blobs.put("k", io.BytesIO(b"x" * 8 * MIB)),
        "get_object": lambda: blobs.open("k"),
        "head_object": lambda: blobs.open("k", 0, 0),
        "delete_objects": lambda: blobs.delete(["k"]),
    }


@pytest.mark.parametrize("error", ["NoSuchBucket", "AccessDenied", "SlowDown", "InternalError"])
def test_failures(blobs: S3Blobs, s3_stub: Stubber, error: str) -> None:
    for operation, call in calls(blobs).items():
        s3_stub.add_client_error(operation, error)
        with pytest.raises(StorageUnavailable) as caught:
            call()
        assert error in str(caught.value.__cause__)


def test_no_connection(blobs: S3Blobs, s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="http://nowhere")

    for operation, call in calls(blobs).items():
        monkeypatch.setattr(s3, operation, fail)
        with pytest.raises(StorageUnavailable):
            call()


@pytest.mark.parametrize(("operation", "length"), [("get_object", None), ("head_object", 0)])
def test_missing(blobs: S3Blobs, s3_stub: Stubber, operation: str, length: int | None) -> None:
    s3_stub.add_client_error(operation, "NoSuchKey" if length is None else "404", http_status_code=404)
    with pytest.raises(BlobMissing):
        blobs.open("k", 0, length)


@pytest.fixture
def moto_blobs() -> Iterator[S3Blobs]:
    """A store in a bucket of moto, which also knows unfinished uploads."""
    with mocked_aws(OTHER_REGION):
        client = clients.s3()
        create_bucket(client, "bucket")
        yield S3Blobs(client, "bucket")


def fail(client: S3Client, operation: str, error: str) -> list[str]:
    """Let each call of the operation fail. Return a list that gets an entry for each call."""
    calls: list[str] = []

    def refuse(**_: object) -> None:
        calls.append(operation)
        raise ClientError({"Error": {"Code": error}}, operation)

    client.meta.events.register(f"before-call.s3.{operation}", refuse)
    return calls


def left_over(blobs: S3Blobs) -> list[Any]:
    """Return the objects and the unfinished uploads in the bucket."""
    uploads = blobs._client.list_multipart_uploads(Bucket="bucket").get("Uploads", [])
    return [*uploads, *blobs._client.list_objects_v2(Bucket="bucket").get("Contents", [])]


@pytest.mark.parametrize("size", [0, MIB - 1, MIB, MIB + 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 30 * MIB])
def test_the_checksum_of_the_whole_object_is_kept_and_verified(moto_blobs: S3Blobs, size: int) -> None:
    content = random.Random(size).randbytes(size)
    assert moto_blobs.put("k", io.BytesIO(content)) == size
    answer = moto_blobs._client.get_object(Bucket="bucket", Key="k")
    assert base64.b64decode(answer["ChecksumCRC32"]) == zlib.crc32(content).to_bytes(4)
    assert isinstance(answer["Body"], StreamingChecksumBody)
    with moto_blobs.open("k") as stream:
        assert stream.read() == content


@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
def test_an_upload_that_fails_is_aborted(moto_blobs: S3Blobs, operation: str) -> None:
    fail(moto_blobs._client, operation, "InternalError")
    with pytest.raises(StorageUnavailable):
        moto_blobs.put("k", io.BytesIO(b"x" * 30 * MIB))
    assert not left_over(moto_blobs)


def test_a_failed_abort_does_not_hide_the_failure_of_the_upload(moto_blobs: S3Blobs) -> None:
    fail(moto_blobs._client, "UploadPart", "SlowDown")
    aborts = fail(moto_blobs._client, "AbortMultipartUpload", "AccessDenied")
    with pytest.raises(StorageUnavailable) as caught:
        moto_blobs.put("k", io.BytesIO(b"x" * 9 * MIB))
    assert "SlowDown" in str(caught.value.__cause__)
    assert aborts


@pytest.mark.parametrize("size", [0, 100, 3 * MIB, 20 * MIB])
def test_a_body_that_breaks_off_leaves_no_parts(moto_blobs: S3Blobs, size: int) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            chunk = super().read(1000)  # less than was asked for, as a socket does
            if not chunk:
                raise ConnectionResetError
            return chunk

    with pytest.raises(ConnectionResetError):
        moto_blobs.put("k", Broken(b"x" * size))
    assert not left_over(moto_blobs)


def test_the_memory_of_all_uploads_is_bounded() -> None:
    """Ten bodies of 32 MiB at once take the memory of 8 parts, and of the first mebibyte of each body."""

    class Zeros(io.RawIOBase):
        left = 32 * MIB

        def read(self, size: int | None = -1, /) -> bytes:
            size = self.left if size is None or size < 0 else min(size, self.left)
            self.left -= size
            return bytes(size)

    client = clients.s3()

    def accept(operation: str, body: bytes) -> None:
        def answer(**_: object) -> Any:
            time.sleep(0.02)
            response: Any = HTTPResponse(io.BytesIO(body), preload_content=False)
            headers: Any = {"ETag": '"1"'}
            return AWSResponse("http://s3", 200, headers, response)

        client.meta.events.register_first(f"before-send.s3.{operation}", answer)

    accept(
        "CreateMultipartUpload",
        b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
    )
    accept("UploadPart", b"")
    accept("CompleteMultipartUpload", b"<CompleteMultipartUploadResult/>")
    blobs = S3Blobs(client, "bucket")
    tracemalloc.start()
    try:
        with ThreadPoolExecutor(10) as threads:
            sizes = list(threads.map(lambda n: blobs.put(str(n), cast(BinaryIO, Zeros())), range(10)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sizes == [32 * MIB] * 10
    assert peak < 100 * MIB


def test_objects_that_cannot_be_removed(blobs: S3Blobs, s3_stub: Stubber) -> None:
    s3_stub.add_response("delete_objects", {"Errors": [{"Key": "k", "Code": "AccessDenied"}]})
    with pytest.raises(StorageUnavailable):
        blobs.delete(["k"])


def test_1000_keys_a_call(blobs: S3Blobs, s3_stub: Stubber) -> None:
    keys = [{"Key": str(n)} for n in range(2001)]
    for batch in (keys[:1000], keys[1000:2000], keys[2000:]):
        s3_stub.add_response("delete_objects", {}, {"Bucket": "bucket", "Delete": {"Objects": batch, "Quiet": True}})
    blobs.delete(str(n) for n in range(2001))


def test_a_deletion_in_a_bucket_with_versions_is_a_marker() -> None:
    with mocked_aws(OTHER_REGION):
        client = clients.s3()
        create_bucket(client, "bucket")
        assert client.get_bucket_versioning(Bucket="bucket")["Status"] == "Enabled"
        blobs = S3Blobs(client, "bucket")
        for key in ("1/a/7.dcm", "1/a/8.dcm"):
            blobs.put(key, io.BytesIO(b"x"))
        blobs.delete(["1/a/7.dcm"])
        with pytest.raises(BlobMissing):
            blobs.open("1/a/7.dcm")
        assert [each.key for each in blobs.listed()] == ["1/a/8.dcm"]
        kept = client.list_object_versions(Bucket="bucket")
        assert [version["Key"] for version in kept["Versions"]] == ["1/a/7.dcm", "1/a/8.dcm"]
        assert [marker["Key"] for marker in kept["DeleteMarkers"]] == ["1/a/7.dcm"]


def test_the_threads_of_an_upload_have_the_deadline_of_their_request(moto_blobs: S3Blobs) -> None:
    left: list[float] = []
    moto_blobs._client.meta.events.register("before-call.s3.UploadPart", lambda **_: left.append(seconds_left()))
    with within(Deadline(60, lambda: 0)):
        moto_blobs.put("k", io.BytesIO(bytes(20 * MIB)))
    assert left == [60, 60, 60]


def test_a_request_does_not_wait_while_bytes_move(moto_blobs: S3Blobs) -> None:
    clock = ManualClock()

    class SlowBody(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            clock.now += 50
            return super().read(size)

    with within(Deadline(60, clock)):
        moto_blobs.put("k", SlowBody(bytes(2 * MIB)))
        assert seconds_left() == 60
        with moto_blobs.open("k") as stream:
            clock.now += 50
            stream.read(1)
            assert seconds_left() == 60
    assert clock.now > 1_700_000_100
