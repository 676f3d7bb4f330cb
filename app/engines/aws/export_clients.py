"""Clients for the places that exports go to: other regions, other S3-compatible stores, roles to assume."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import boto3
from botocore.config import Config

from app.engines.aws.clients import s3_client
from app.errors import ConfigurationError
from app.storage.operations.destinations import S3Target

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SESSION_SECONDS: Final = 3600
_RENEWED_SECONDS: Final = 1800
"""How long a client with an assumed role is used: half of its session, so that no step outlives it."""

_KEPT: Final = 8
"""Clients kept for other regions, endpoints and roles; making one takes a third of a second."""

_CONFIG: Final = Config(
    max_pool_connections=16,
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=3,
    read_timeout=60,
    tcp_keepalive=True,
)


class _Access(NamedTuple):
    """What a client is made for; with a role, one operation."""

    region: str
    endpoint: str
    role: str
    external_id: str
    operation: str


class Clients:
    """Gives the client for a target: the service's own (`home`) where that will do, else one made for it and kept."""

    def __init__(self, home: Callable[[], S3Client]) -> None:
        self._home = home
        self._kept: dict[_Access, tuple[float, S3Client]] = {}
        self._lock = threading.Lock()

    def of(self, target: S3Target, operation: str) -> S3Client:
        """Return a client; it asks STS for the target's role. Raises what boto3 raises, and `ConfigurationError`."""
        home = self._home()
        if not (target.endpoint or target.role) and target.region in ("", home.meta.region_name):
            return home
        region = target.region or home.meta.region_name
        access = _Access(region, target.endpoint, target.role, target.external_id, operation if target.role else "")
        with self._lock:
            due, kept = self._kept.get(access, (0.0, home))
        if due > time.monotonic():
            return kept
        made = _made(access)  # outside the lock, for it may wait for the network
        with self._lock:
            self._kept.pop(access, None)
            self._kept[access] = time.monotonic() + _RENEWED_SECONDS, made
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return made


def _made(access: _Access) -> S3Client:
    """Return a client. Raises what boto3 raises, and `ConfigurationError` for a host that no URL can have."""
    session = boto3.session.Session(region_name=access.region or None)
    if access.role:
        session = _assumed(session, access)
    try:
        return s3_client(session, _CONFIG, access.endpoint or None)
    except ValueError as error:
        raise ConfigurationError(f"{access.endpoint} is no endpoint.") from error


def _assumed(session: boto3.session.Session, access: _Access) -> boto3.session.Session:
    """Return a session of the role, named for the operation; its credentials are in memory alone."""
    sts: Any = session.client("sts", config=_CONFIG)
    external = {"ExternalId": access.external_id} if access.external_id else {}
    given = sts.assume_role(
        RoleArn=access.role,
        RoleSessionName=f"bulkhead-{access.operation}",
        DurationSeconds=_SESSION_SECONDS,
        **external,
    )["Credentials"]
    return boto3.session.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=session.region_name
    )
