"""The checks of the destination of an export (conformance §11.2). Error texts never quote values of the client."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from app.errors import InvalidField
from app.storage.operations.destinations import FileTarget, S3Target

SETTINGS: Final = "destination.settings"

MAX_PREFIX: Final = 700
"""Bytes of a prefix. A key of S3 may have 1,024 bytes, and the rest of our keys takes up to 240."""


class FieldRule(NamedTuple):
    """The rule of a setting: its name, the pattern that its whole value must match, and the pattern in words."""

    name: str
    pattern: re.Pattern[str]
    meaning: str


def _rule(name: str, pattern: str, meaning: str) -> FieldRule:
    return FieldRule(name, re.compile(pattern, re.ASCII), meaning)


# Names of access points, aliases and directory buckets are refused: requests to them go to other hosts than S3.
_BUCKET: Final = (
    r"(?!\d+\.\d+\.\d+\.\d+\Z|xn--|sthree-)(?!.*(?:\.\.|-s3alias\Z|--ol-s3\Z|\.mrap\Z|--x-s3\Z|--table-s3\Z))"
    r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
)
_URI: Final = re.compile(r"s3://([^/]+)(?:/(.*))?", re.ASCII | re.DOTALL)
_SEGMENT: Final = re.compile(r"[^/\\\x00-\x1f\x7f]{1,255}")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]", re.ASCII)

BUCKET: Final = _rule("bucketName", _BUCKET, "the name of a bucket")
RULES: Final = (
    _rule("region", r"[a-z]{2,3}(?:-[a-z]{2,12}){1,3}-\d{1,2}", "a region of AWS, such as eu-west-1"),
    _rule("roleArn", r"arn:aws[a-z-]{0,20}:iam::\d{12}:role/[\w+=,.@/-]{1,576}", "the ARN of a role"),
    _rule("externalId", r"[\w+=,.@:/-]{2,1224}", "2 to 1224 letters, digits and +=,.@:/-_"),
    _rule("sseAlgorithm", r"AES256|aws:kms", "AES256 or aws:kms"),
    _rule("kmsKeyId", r"[A-Za-z0-9:/_-]{1,2048}", "the id, the ARN or the alias of a key"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """The settings of a destination in S3 as a client stated them; None for those that it left out."""

    bucket_name: str | None = None
    uri: str | None = None
    prefix: str | None = None
    region: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    sse_algorithm: str | None = None
    kms_key_id: str | None = None
    endpoint_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSettings:
    """The settings of a destination below the export folder."""

    prefix: str = ""


def require_match(text: str, rule: FieldRule, name: str) -> str:
    """Return the text if it matches the rule. Raises `InvalidField` for the setting `name`."""
    if not rule.pattern.fullmatch(text):
        raise InvalidField(f"{SETTINGS}.{name}", f"It must be {rule.meaning}.")
    return text


def s3(settings: S3Settings, *, endpoints: bool) -> S3Target:
    """Return the target in S3 that the settings name. `endpoints` allows other S3-compatible stores.

    Raises `InvalidRequest`. Nothing is sent over a network.
    """
    bucket, prefix = _bucket_and_prefix(settings)
    texts = (settings.region, settings.role_arn, settings.external_id, settings.sse_algorithm, settings.kms_key_id)
    region, role, external_id, sse, kms_key = (
        "" if text is None else require_match(text, rule, rule.name) for rule, text in zip(RULES, texts, strict=True)
    )
    if external_id and not role:
        raise InvalidField(f"{SETTINGS}.externalId", "It needs 'roleArn'.")
    if kms_key and sse != "aws:kms":
        raise InvalidField(f"{SETTINGS}.kmsKeyId", "It needs 'sseAlgorithm' aws:kms.")
    return S3Target(
        bucket,
        prefix,
        region=region,
        endpoint=_endpoint(settings.endpoint_url, endpoints),
        role=role,
        external_id=external_id,
        sse=sse,
        kms_key=kms_key,
    )


def file(settings: FileSettings) -> FileTarget:
    """Return the target below the export folder that the settings name. Raises `InvalidRequest`.

    Names that begin with a dot are reserved for temporary files of the service.
    """
    prefix = _prefix(settings.prefix, "prefix")
    if any(segment.startswith(".") for segment in prefix.split("/")):
        raise InvalidField(f"{SETTINGS}.prefix", "No part of it may begin with a dot.")
    return FileTarget(prefix)


def _bucket_and_prefix(settings: S3Settings) -> tuple[str, str]:
    bucket, uri, prefix = settings.bucket_name, settings.uri, settings.prefix
    if (bucket is None) == (uri is None):
        raise InvalidField(SETTINGS, "Exactly one of 'bucketName' and 'uri' must be given.")
    if bucket is not None:
        return require_match(bucket, BUCKET, "bucketName"), _prefix(prefix or "", "prefix")
    if prefix is not None:
        raise InvalidField(SETTINGS, "'prefix' goes with 'bucketName'; 'uri' has its own.")
    parts = _URI.fullmatch(uri or "")
    if parts is None:
        raise InvalidField(f"{SETTINGS}.uri", "It must be s3://bucket/prefix.")
    return require_match(parts[1], BUCKET._replace(meaning="s3://bucket/prefix"), "uri"), _prefix(parts[2] or "", "uri")


def _prefix(prefix: str, name: str) -> str:
    """Return the prefix with a slash at its end, or an empty one."""
    path = f"{SETTINGS}.{name}"
    prefix = prefix.removesuffix("/")
    if not prefix:
        return ""
    if prefix.startswith("/"):
        raise InvalidField(path, "The prefix must not begin with a slash.")
    segments = prefix.split("/")
    if not all(_SEGMENT.fullmatch(segment) and segment not in (".", "..") for segment in segments):
        raise InvalidField(path, "The prefix must be names of at most 255 characters with single slashes between.")
    if not _fits(segments):
        raise InvalidField(path, f"The prefix must have at most {MAX_PREFIX} bytes, each of its names at most 255.")
    return prefix + "/"


def _fits(segments: list[str]) -> bool:
    try:
        sizes = [len(segment.encode()) for segment in segments]
    except UnicodeEncodeError:  # a surrogate without its partner
        return False
    return max(sizes) <= 255 and sum(sizes) + len(sizes) <= MAX_PREFIX


def _endpoint(text: str | None, allowed: bool) -> str:
    if text is None:
        return ""
    path = f"{SETTINGS}.endpointUrl"
    if not allowed:
        raise InvalidField(path, "Other endpoints are not allowed here.")
    rule = InvalidField(path, "It must be the http or https URL of a host, with nothing but a port after it.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise rule from None
    host, suffix = parts.netloc, f":{port}" if port is not None else ""
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host.removesuffix(suffix)):
        raise rule
    if text.removesuffix("/") != f"{parts.scheme}://{host}":
        raise rule
    return text.removesuffix("/")
