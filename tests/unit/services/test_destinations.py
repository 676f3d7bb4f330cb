"""The settings of destinations: which are accepted, which are refused. No error text quotes a value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.services.export import destinations
from app.services.export.destinations import FileSettings
from app.storage.operations.destinations import FileTarget, S3Target, document, target_of
from app.web.schemas.body import load_body
from app.web.schemas.export import FileSettingsSchema, S3SettingsSchema

ROLE = "arn:aws:iam::123456789012:role/path/Drop"


def s3(endpoints: bool = True, **settings: Any) -> S3Target:
    return destinations.s3(load_body(S3SettingsSchema(), settings), endpoints=endpoints)


@pytest.mark.parametrize(
    ("settings", "target"),
    [
        ({"bucketName": "drop"}, S3Target("drop")),
        ({"BUCKETNAME": "drop", "Prefix": "a/b"}, S3Target("drop", "a/b/")),
        ({"bucketName": "drop", "prefix": "a/b/", "region": None}, S3Target("drop", "a/b/")),
        ({"bucketName": "drop", "prefix": "", "other": {"a": 1}}, S3Target("drop")),
        ({"uri": "s3://drop"}, S3Target("drop")),
        ({"uri": "s3://drop/"}, S3Target("drop")),
        ({"uri": "s3://drop/a b/ü"}, S3Target("drop", "a b/ü/")),
        ({"bucketName": "drop", "region": "us-gov-west-1"}, S3Target("drop", region="us-gov-west-1")),
        ({"bucketName": "drop", "endpointUrl": "http://minio:9000/"}, S3Target("drop", endpoint="http://minio:9000")),
        ({"bucketName": "drop", "endpointUrl": "https://[::1]:9"}, S3Target("drop", endpoint="https://[::1]:9")),
        ({"bucketName": "drop", "roleArn": ROLE, "externalId": "x1"}, S3Target("drop", role=ROLE, external_id="x1")),
        ({"bucketName": "drop", "sseAlgorithm": "AES256"}, S3Target("drop", sse="AES256")),
        (
            {"bucketName": "drop", "sseAlgorithm": "aws:kms", "kmsKeyId": "alias/k"},
            S3Target("drop", sse="aws:kms", kms_key="alias/k"),
        ),
    ],
)
def test_good_settings_give_a_target(settings: dict[str, Any], target: S3Target) -> None:
    assert s3(**settings) == target
    assert target_of(document(target)) == target


NO_BUCKETS = [
    "", "ab", "a" * 64, "Drop", "dr_op", "drop/x", "drop?x", "drop#x", "drop@host", "dr..op", ".drop", "drop.", "-drop",
    "192.168.0.1", "arn:aws:s3:::drop", "arn:aws:s3:eu-west-1:123456789012:accesspoint/x", "drop-s3alias",
    "drop--ol-s3", "drop--use1-az4--x-s3", "drop.mrap", "xn--drop", "drop\n", "drop ", "%64rop", "dröp", "drop:80",
    "drop--table-s3",
]  # fmt: skip


@pytest.mark.parametrize("bucket", NO_BUCKETS)
def test_a_bad_bucket_name_is_refused(bucket: str) -> None:
    with pytest.raises(InvalidRequest, match=r"'destination.settings.bucketName'"):
        s3(bucketName=bucket)
    if "/" not in bucket:
        with pytest.raises(InvalidRequest, match=r"'destination.settings.uri'"):
            s3(uri=f"s3://{bucket}/a")


@pytest.mark.parametrize(
    "uri",
    [
        "drop",
        "s3:drop",
        "s3:///drop",
        "S3://drop",
        "https://drop",
        "s3://key:secret@drop/a",
        "s3://drop//a",
        "s3://drop/../a",
    ],
)
def test_a_bad_uri_is_refused(uri: str) -> None:
    with pytest.raises(InvalidRequest, match=r"'destination.settings.uri'") as caught:
        s3(uri=uri)
    assert "secret" not in str(caught.value)


NO_ENDPOINTS = [
    "", "minio", "//minio", "ftp://minio", "file:///etc/passwd", "http://", "http:///", "http://user@minio",
    "http://user:secret@minio", "http://minio/path", "http://minio?x=1", "http://minio#x", "http://minio:99999",
    "http://minio:x", "http://mi nio", "http://minio\n", "http://minio\\@other", "http://[::1", "http://[::1]x",
    "http://minio/?", "http://minio:", " http://minio", "http://minio\r\nHost: x", "http://münio", "http://%6dinio",
]  # fmt: skip


@pytest.mark.parametrize("url", NO_ENDPOINTS)
def test_a_bad_endpoint_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"'destination.settings.endpointUrl'") as caught:
        s3(bucketName="drop", endpointUrl=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://minio", "", "nonsense"])
def test_an_endpoint_is_refused_if_endpoints_are_not_allowed(url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"Other endpoints are not allowed here."):
        s3(endpoints=False, bucketName="drop", endpointUrl=url)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"region": "eu-west-1.evil.example/"}, "'destination.settings.region'"),
        ({"region": "eu-west"}, "'destination.settings.region'"),
        ({"region": 1}, "It must be a string."),
        ({"roleArn": "arn:aws:iam::1:role/x"}, "the ARN of a role"),
        ({"roleArn": "arn:aws:sts::123456789012:role/x"}, "the ARN of a role"),
        ({"externalId": "x1"}, "It needs 'roleArn'."),
        ({"roleArn": ROLE, "externalId": "a b"}, "'destination.settings.externalId'"),
        ({"sseAlgorithm": "aes256"}, "AES256 or aws:kms"),
        ({"kmsKeyId": "k"}, "It needs 'sseAlgorithm' aws:kms."),
        ({"sseAlgorithm": "AES256", "kmsKeyId": "k"}, "It needs 'sseAlgorithm' aws:kms."),
        ({"prefix": "/a"}, "must not begin with a slash"),
        ({"prefix": "a//b"}, "single slashes"),
        ({"prefix": "../a"}, "single slashes"),
        ({"prefix": "a\nb"}, "single slashes"),
        ({"prefix": "ü" * 128}, "at most 700 bytes"),
        ({"prefix": "/".join(["a" * 100] * 7)}, "at most 700 bytes"),
        ({"prefix": "\ud800"}, "at most 700 bytes"),
        ({"AccessKeyID": "x"}, "Access keys are not accepted in a request."),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        s3(bucketName="drop", **settings)
    assert text in str(caught.value)


def test_a_uri_has_its_own_prefix() -> None:
    with pytest.raises(InvalidRequest, match=r"'prefix' goes with 'bucketName'"):
        s3(uri="s3://drop/a", prefix="b")


@given(
    st.dictionaries(
        st.sampled_from(
            ["bucketName", "uri", "prefix", "region", "endpointUrl", "roleArn", "externalId", "kmsKeyId", "x"]
        ),
        st.one_of(st.text(max_size=40), st.none(), st.integers(), st.lists(st.text(), max_size=2)),
    )
)
def test_any_settings_are_read_or_refused(settings: dict[str, Any]) -> None:
    for read in (lambda: s3(**settings), lambda: destinations.file(load_body(FileSettingsSchema(), settings))):
        try:
            target = read()
        except InvalidRequest:
            continue
        assert target_of(document(target)) == target


@given(
    st.text(max_size=60) | st.lists(st.sampled_from(["..", ".", "", "a", "\\", "~", "b c"]), max_size=5).map("/".join)
)
def test_any_prefix_stays_below_the_export_folder(prefix: str) -> None:
    try:
        target = destinations.file(FileSettings(prefix=prefix))
    except InvalidRequest:
        return
    segments = target.prefix.split("/")
    assert segments[-1] == ""
    assert not any(segment.startswith(".") or "\0" in segment for segment in segments)
    assert all(segments[:-1])
    assert target == FileTarget(target.prefix)
