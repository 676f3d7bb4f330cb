"""What `S3Blobs` makes of S3's answers, those that moto never gives among them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.response import StreamingBody
from moto import mock_aws

from app.engines.aws import clients
from app.engines.aws.provision import create_bucket
from app.engines.aws.s3 import S3Blobs
from app.errors import BlobMissing, StorageUnavailable

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
        "get_bucket_versioning": lambda: blobs.delete(["k"]),
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


def test_a_stream_that_breaks_off(blobs: S3Blobs, s3_stub: Stubber) -> None:
    body = StreamingBody(io.BytesIO(b"half"), content_length=8)
    s3_stub.add_response("get_object", {"Body": body})
    with blobs.open("k") as stream, pytest.raises(StorageUnavailable):
        stream.read(100)
        stream.read(100)


def test_an_upload_that_fails_is_aborted(blobs: S3Blobs, s3_stub: Stubber) -> None:
    where = {"Bucket": "bucket", "Key": "k", "UploadId": "u"}
    s3_stub.add_response("create_multipart_upload", {"UploadId": "u"})
    s3_stub.add_client_error("upload_part", "InternalError")
    s3_stub.add_response("abort_multipart_upload", {}, where)
    with pytest.raises(StorageUnavailable):
        blobs.put("k", io.BytesIO(b"x" * 9 * MIB))


def test_an_abort_that_fails_hides_nothing(blobs: S3Blobs, s3_stub: Stubber) -> None:
    s3_stub.add_response("create_multipart_upload", {"UploadId": "u"})
    s3_stub.add_client_error("upload_part", "SlowDown")
    s3_stub.add_client_error("abort_multipart_upload", "AccessDenied")
    with pytest.raises(StorageUnavailable) as caught:
        blobs.put("k", io.BytesIO(b"x" * 9 * MIB))
    assert "SlowDown" in str(caught.value.__cause__)


def test_objects_that_cannot_be_removed(blobs: S3Blobs, s3_stub: Stubber) -> None:
    s3_stub.add_response("get_bucket_versioning", {})
    s3_stub.add_response("delete_objects", {"Errors": [{"Key": "k", "Code": "AccessDenied"}]})
    with pytest.raises(StorageUnavailable):
        blobs.delete(["k"])


def test_1000_keys_a_call(blobs: S3Blobs, s3_stub: Stubber) -> None:
    keys = [{"Key": str(n)} for n in range(2001)]
    s3_stub.add_response("get_bucket_versioning", {})
    for batch in (keys[:1000], keys[1000:2000], keys[2000:]):
        s3_stub.add_response("delete_objects", {}, {"Bucket": "bucket", "Delete": {"Objects": batch, "Quiet": True}})
    blobs.delete(str(n) for n in range(2001))


def test_servers_without_versions(blobs: S3Blobs, s3_stub: Stubber) -> None:
    s3_stub.add_client_error("get_bucket_versioning", "NotImplemented")
    s3_stub.add_response("delete_objects", {})
    s3_stub.add_response("delete_objects", {})
    blobs.delete(["k"])
    blobs.delete(["k"])


def test_a_bucket_with_versions_keeps_none_of_what_was_removed() -> None:
    with mock_aws():
        client = clients.s3()
        create_bucket(client, "bucket")
        client.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
        blobs = S3Blobs(client, "bucket")
        for key in ("1/a/7.dcm", "1/a/7.dcm", "1/a/7.dcm.more", "1/a/8.dcm"):
            blobs.put(key, io.BytesIO(b"x"))
        client.delete_object(Bucket="bucket", Key="1/a/7.dcm")
        blobs.delete(["1/a/7.dcm", "1/a/absent.dcm"])
        left = client.list_object_versions(Bucket="bucket")
        assert [version["Key"] for version in left["Versions"]] == ["1/a/7.dcm.more", "1/a/8.dcm"]
        assert "DeleteMarkers" not in left
