"""The destination of an export as a client states it (conformance §11.2): read, checked by one table, and never quoted back."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from app.errors import InvalidField, InvalidRequest
from app.storage.operations.destinations import FileTarget, S3Target

SETTINGS: Final = "destination.settings"

MAX_PREFIX: Final = 700
"""Bytes of a prefix; what follows it takes 240 of the 1,024 that a key of S3 may have."""


class FieldRule(NamedTuple):
    """The name of a setting, what its value must match whole, and that in words."""

    name: str
    pattern: re.Pattern[str]
    meaning: str


def _rule(name: str, pattern: str, meaning: str) -> FieldRule:
    return FieldRule(name, re.compile(pattern, re.ASCII), meaning)


# The names of access points, of other accounts' aliases and of directory buckets lead to other hosts than S3's own.
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

SECRETS: Final = frozenset(
    prefix + name
    for prefix in ("", "aws")
    for name in ("accesskey", "accesskeyid", "secretkey", "secretaccesskey", "sessiontoken", "credentials")
)
"""Names, in lower case, of what a body must not carry."""


class CheckedDestination:
    """The settings as stated: names in any case, null as if left out."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._values = {name.lower(): value for name, value in settings.items() if value is not None}

    def names(self) -> Collection[str]:
        return self._values.keys()

    def text(self, name: str) -> str | None:
        """Return the text of a setting, None if it is left out; raises `InvalidField`."""
        value = self._values.get(name.lower())
        if value is None or isinstance(value, str):
            return value
        raise InvalidField(f"{SETTINGS}.{name}", "It must be a string.")

    def matching(self, rule: FieldRule) -> str:
        """Return the text of a setting that matches its rule, "" if it is left out; raises `InvalidField`."""
        text = self.text(rule.name)
        return "" if text is None else checked(text, rule, rule.name)


def checked(text: str, rule: FieldRule, name: str) -> str:
    """Return the text if it matches; raises `InvalidField` for the setting `name`."""
    if not rule.pattern.fullmatch(text):
        raise InvalidField(f"{SETTINGS}.{name}", f"It must be {rule.meaning}.")
    return text


def s3(settings: Mapping[str, Any], *, endpoints: bool) -> S3Target:
    """Return the place in S3 that the settings name; `endpoints` allows other S3-compatible stores.

    Raises `InvalidRequest`; asks nothing of any network.
    """
    stated = CheckedDestination(settings)
    if not SECRETS.isdisjoint(stated.names()):
        raise InvalidRequest(
            "Access keys are not accepted in a request. Name a role in 'roleArn', "
            "or let the service's own credentials write to the bucket."
        )
    bucket, prefix = _place(stated)
    region, role, external_id, sse, kms_key = (stated.matching(rule) for rule in RULES)
    if external_id and not role:
        raise InvalidField(f"{SETTINGS}.externalId", "It needs 'roleArn'.")
    if kms_key and sse != "aws:kms":
        raise InvalidField(f"{SETTINGS}.kmsKeyId", "It needs 'sseAlgorithm' aws:kms.")
    return S3Target(bucket, prefix, region, _endpoint(stated, endpoints), role, external_id, sse, kms_key)


def file(settings: Mapping[str, Any]) -> FileTarget:
    """Return the place below the export folder that the settings name; raises `InvalidRequest`.

    A name that begins with a dot is the service's own.
    """
    prefix = _prefix(CheckedDestination(settings).text("prefix") or "", "prefix")
    if any(segment.startswith(".") for segment in prefix.split("/")):
        raise InvalidField(f"{SETTINGS}.prefix", "No part of it may begin with a dot.")
    return FileTarget(prefix)


def _place(stated: CheckedDestination) -> tuple[str, str]:
    bucket, uri, prefix = stated.text("bucketName"), stated.text("uri"), stated.text("prefix")
    if (bucket is None) == (uri is None):
        raise InvalidField(SETTINGS, "Exactly one of 'bucketName' and 'uri' must be given.")
    if bucket is not None:
        return checked(bucket, BUCKET, "bucketName"), _prefix(prefix or "", "prefix")
    if prefix is not None:
        raise InvalidField(SETTINGS, "'prefix' goes with 'bucketName'; 'uri' has its own.")
    parts = _URI.fullmatch(uri or "")
    if parts is None:
        raise InvalidField(f"{SETTINGS}.uri", "It must be s3://bucket/prefix.")
    return checked(parts[1], BUCKET._replace(meaning="s3://bucket/prefix"), "uri"), _prefix(parts[2] or "", "uri")


def _prefix(prefix: str, name: str) -> str:
    """Return the prefix with a slash at its end, if it is not empty."""
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
    except UnicodeEncodeError:  # half of a pair of surrogates
        return False
    return max(sizes) <= 255 and sum(sizes) + len(sizes) <= MAX_PREFIX


def _endpoint(stated: CheckedDestination, allowed: bool) -> str:
    text = stated.text("endpointUrl")
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
