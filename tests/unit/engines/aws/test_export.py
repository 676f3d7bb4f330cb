"""How exports handle the answers of S3, including those that moto never gives."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError, ParamValidationError, ReadTimeoutError

from app.engines.aws import clients, export, export_clients
from app.engines.aws.export import S3Destination, S3Exports
from app.engines.embedded.files import FileBlobs
from app.errors import (
    BlobMissing,
    ConfigurationError,
    DestinationError,
    DestinationRefused,
    DestinationUnavailable,
    StorageUnavailable,
)
from app.storage.operations.destinations import S3Target
from tests.support.aws import OTHER_REGION, mocked_aws

if TYPE_CHECKING:
    from botocore.stub import Stubber
    from mypy_boto3_s3 import S3Client

TARGET = S3Target("drop", "p/")
WRITE = {"Bucket": "drop", "Key": "p/k"}


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    """A blob store with one blob, `1/a`."""
    made = FileBlobs(tmp_path)
    made.put("1/a", io.BytesIO(b"stored"))
    return made


@pytest.fixture
def destination(s3: S3Client, blobs: FileBlobs) -> S3Destination:
    """A destination in bucket `drop`, for blobs of bucket `archive`."""
    return S3Destination(s3, TARGET, source="archive", blobs=blobs)


@pytest.mark.parametrize(
    ("code", "status", "kind", "text"),
    [
        ("NoSuchBucket", 404, DestinationRefused, "The bucket 'drop' was not found."),
        ("AccessDenied", 403, DestinationRefused, "Not authorised to write to the bucket 'drop'."),
        ("InvalidAccessKeyId", 403, DestinationRefused, "Not authorised to write to the bucket 'drop'."),
        ("401", 401, DestinationRefused, "Not authorised to write to the bucket 'drop'."),
        ("PermanentRedirect", 301, DestinationRefused, "Writing to the bucket 'drop' failed."),
        ("KMS.NotFoundException", 400, DestinationRefused, "Writing to the bucket 'drop' failed."),
        ("RequestTimeout", 400, DestinationUnavailable, "The bucket 'drop' did not take what was written."),
        ("TooManyRequests", 429, DestinationUnavailable, "The bucket 'drop' did not take what was written."),
        ("SlowDown", 503, DestinationUnavailable, "The bucket 'drop' did not take what was written."),
        ("InternalError", 500, DestinationUnavailable, "The bucket 'drop' did not take what was written."),
    ],
)
def test_answers(
    destination: S3Destination, s3_stub: Stubber, code: str, status: int, kind: type[DestinationError], text: str
) -> None:
    s3_stub.add_client_error("put_object", code, "secret of the server", http_status_code=status)
    with pytest.raises(kind) as caught:
        destination.write("k", io.BytesIO(b"x"), "text/plain")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (EndpointConnectionError(endpoint_url="u"), DestinationUnavailable, "Cannot connect to the bucket 'drop'."),
        (ReadTimeoutError(endpoint_url="u"), DestinationUnavailable, "Cannot connect to the bucket 'drop'."),
        (NoCredentialsError(), DestinationRefused, "Not authorised to write to the bucket 'drop'."),
        (ParamValidationError(report="r"), DestinationRefused, "Writing to the bucket 'drop' failed."),
        (ConfigurationError("c"), DestinationRefused, "Writing to the bucket 'drop' failed."),
    ],
)
def test_no_answer(blobs: FileBlobs, error: Exception, kind: type[DestinationError], text: str) -> None:
    def home() -> S3Client:
        raise error

    with pytest.raises(kind) as caught:
        S3Exports(home, "archive", blobs).open(TARGET, "0")
    assert str(caught.value) == text


def test_a_copy_within_s3(destination: S3Destination, s3_stub: Stubber) -> None:
    expected = {
        **WRITE,
        "CopySource": {"Bucket": "archive", "Key": "1/a"},
        "ContentType": "application/dicom",
        "MetadataDirective": "REPLACE",
    }
    s3_stub.add_response("copy_object", {}, expected)
    destination.copy("1/a", 6, "k", "application/dicom")


def test_a_copy_of_a_missing_blob(destination: S3Destination, s3_stub: Stubber) -> None:
    s3_stub.add_client_error("copy_object", "NoSuchKey", http_status_code=404)
    with pytest.raises(BlobMissing):
        destination.copy("1/a", 6, "k", "application/dicom")


def test_a_transient_failure_of_a_copy_is_raised(destination: S3Destination, s3_stub: Stubber) -> None:
    s3_stub.add_client_error("copy_object", "SlowDown", http_status_code=503)
    with pytest.raises(DestinationUnavailable):
        destination.copy("1/a", 6, "k", "application/dicom")


def test_after_a_refused_copy_all_blobs_are_uploaded(destination: S3Destination, s3_stub: Stubber) -> None:
    s3_stub.add_client_error("copy_object", "AccessDenied", http_status_code=403)
    for _ in range(2):
        s3_stub.add_response("put_object", {})
        destination.copy("1/a", 6, "k", "application/dicom")


def test_a_destination_that_refuses_copy_and_upload(destination: S3Destination, s3_stub: Stubber) -> None:
    for _ in range(2):
        s3_stub.add_client_error("copy_object", "AccessDenied", http_status_code=403)
        s3_stub.add_client_error("put_object", "AccessDenied", http_status_code=403)
        with pytest.raises(DestinationRefused):
            destination.copy("1/a", 6, "k", "application/dicom")


def test_a_local_file_that_cannot_be_read(destination: S3Destination) -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(StorageUnavailable):
        destination.write("k", Broken(), "text/plain")  # type: ignore[arg-type]  # only these methods are used


def test_a_failed_upload_leaves_no_parts(destination: S3Destination, s3_stub: Stubber) -> None:
    s3_stub.add_response("create_multipart_upload", {"UploadId": "u"})
    s3_stub.add_client_error("upload_part", "AccessDenied", http_status_code=403)
    s3_stub.add_response("abort_multipart_upload", {}, {**WRITE, "UploadId": "u"})
    with pytest.raises(DestinationRefused):
        destination.write("k", io.BytesIO(b"x" * 9 * 1024**2), "text/plain")


def test_a_blob_too_large_for_one_copy_call(blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_COPY_LIMIT", 1024)
    with mocked_aws(OTHER_REGION):
        s3 = clients.s3()
        for bucket in ("archive", "drop"):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        s3.put_object(Bucket="archive", Key="1/large", Body=b"x" * 2000)
        destination = S3Destination(s3, S3Target("drop", "p/", sse="AES256"), source="archive", blobs=blobs)
        destination.copy("1/large", 2000, "k", "application/dicom")
        answer = s3.get_object(**WRITE)  # type: ignore[arg-type]  # bucket and key
        assert answer["Body"].read() == b"x" * 2000
        assert answer["ETag"].endswith('-1"'), "of parts"
        assert (answer["ContentType"], answer["ServerSideEncryption"]) == ("application/dicom", "AES256")


@pytest.mark.parametrize(
    ("endpoint", "bucket", "url"),
    [
        ("https://s3.eu-west-1.amazonaws.com", "drop", "https://drop.s3.eu-west-1.amazonaws.com/a%20b/k"),
        ("https://s3.eu-west-1.amazonaws.com", "d.rop", "https://s3.eu-west-1.amazonaws.com/d.rop/a%20b/k"),
        ("http://minio:9000", "drop", "http://minio:9000/drop/a%20b/k"),
        ("https://s3.amazonaws.com.evil.example", "drop", "https://s3.amazonaws.com.evil.example/drop/a%20b/k"),
    ],
)
def test_urls(blobs: FileBlobs, endpoint: str, bucket: str, url: str) -> None:
    class Client:
        meta = type("Meta", (), {"endpoint_url": endpoint})

    assert S3Destination(cast(Any, Client()), S3Target(bucket, "a b/"), source="", blobs=blobs).url("k") == url


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The keys of the clients that were made."""
    asked: list[Any] = []
    monkeypatch.setattr(export_clients, "_make", lambda access: asked.append(access) or object())
    return asked


def test_clients_are_kept(s3: S3Client, made: list[Any]) -> None:
    kept = export_clients.Clients(lambda: s3)
    assert kept.of(S3Target("a"), "1") is s3
    assert kept.of(S3Target("a", region="eu-central-1"), "1") is s3
    other = S3Target("a", region="eu-west-1")
    assert kept.of(other, "1") is kept.of(S3Target("b", region="eu-west-1"), "2")
    role = S3Target("a", role="arn:aws:iam::123456789012:role/r")
    assert kept.of(role, "1") is kept.of(role, "1")
    assert kept.of(role, "1") is not kept.of(role, "2"), "a session is one operation's"
    assert [(each.region, each.role != "", each.operation) for each in made] == [
        ("eu-west-1", False, ""),
        ("eu-central-1", True, "1"),
        ("eu-central-1", True, "2"),
    ]


def test_few_clients_are_kept_and_none_after_its_session(
    s3: S3Client, made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = export_clients.Clients(lambda: s3)
    for n in range(20):
        kept.of(S3Target("a", endpoint=f"http://host{n}"), "1")
    assert len(kept._kept) == 8
    kept.of(S3Target("a", endpoint="http://host19"), "1")
    assert len(made) == 20
    now = time.monotonic()
    monkeypatch.setattr("app.engines.aws.export_clients.time.monotonic", lambda: now + 3000)
    kept.of(S3Target("a", endpoint="http://host19"), "1")
    assert len(made) == 21


def test_other_stores_are_addressed_by_path() -> None:
    key = export_clients.ClientKey(region="eu-west-1", endpoint="http://minio:9000")
    by_path: Any = export_clients._make(key).meta.config
    assert by_path.s3 == {"addressing_style": "path"}
    by_host: Any = export_clients._make(replace(key, endpoint="")).meta.config
    assert by_host.s3 is None


@pytest.mark.parametrize("host", ["a..b", "-a", "a" * 64, "[::::]", "[1.2]", "."])
def test_invalid_hosts(s3: S3Client, blobs: FileBlobs, host: str) -> None:
    target = S3Target("drop", endpoint=f"http://{host}:9")
    with pytest.raises(DestinationError):
        S3Exports(lambda: s3, "", blobs).open(target, "0").write("k", io.BytesIO(b"x"), "text/plain")
