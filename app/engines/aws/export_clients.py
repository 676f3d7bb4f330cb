"""Clients for destinations of exports: in other regions, in other S3-compatible stores, with a role to assume."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config

from app.engines.aws.clients import s3_client
from app.errors import ConfigurationError
from app.storage.operations.destinations import S3Target

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SESSION_SECONDS: Final = 3600
_RENEWED_SECONDS: Final = 1800
"""How long a client with an assumed role is used. It is half of the session, so the session outlives every step."""

_MAX_CLIENTS: Final = 8
"""How many clients are kept. It takes a third of a second to make one."""

_CONFIG: Final = Config(
    max_pool_connections=16,
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=3,
    read_timeout=60,
    tcp_keepalive=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKey:
    """What a client is made for. `operation` is empty without a role: only sessions belong to one operation."""

    region: str
    endpoint: str = ""
    role: str = ""
    external_id: str = ""
    operation: str = ""


class Clients:
    """The clients for targets: the client of the service itself (`home`) if it fits, otherwise one for the target."""

    def __init__(self, home: Callable[[], S3Client]) -> None:
        self._home = home
        self._kept: dict[ClientKey, tuple[float, S3Client]] = {}
        self._lock = threading.Lock()

    def of(self, target: S3Target, operation: str) -> S3Client:
        """Return a client, with the role of the target assumed. Raises what boto3 raises, and `ConfigurationError`."""
        home = self._home()
        if not (target.endpoint or target.role) and target.region in ("", home.meta.region_name):
            return home
        key = ClientKey(
            region=target.region or home.meta.region_name,
            endpoint=target.endpoint,
            role=target.role,
            external_id=target.external_id,
            operation=operation if target.role else "",
        )
        with self._lock:
            due, kept = self._kept.get(key, (0.0, home))
        if due > time.monotonic():
            return kept
        made = _make(key)  # without the lock, because it may wait for the network
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = time.monotonic() + _RENEWED_SECONDS, made
            while len(self._kept) > _MAX_CLIENTS:
                del self._kept[next(iter(self._kept))]
        return made


def _make(key: ClientKey) -> S3Client:
    """Return a client. Raises what boto3 raises, and `ConfigurationError` for a host that no URL can have."""
    session = boto3.session.Session(region_name=key.region or None)
    if key.role:
        session = _assumed(session, key)
    try:
        return s3_client(session, _CONFIG, key.endpoint or None)
    except ValueError as error:
        raise ConfigurationError(f"{key.endpoint} is no endpoint.") from error


def _assumed(session: boto3.session.Session, key: ClientKey) -> boto3.session.Session:
    """Return a session of the role, named after the operation. Its credentials are kept in memory only."""
    sts: Any = session.client("sts", config=_CONFIG)
    external = {"ExternalId": key.external_id} if key.external_id else {}
    given = sts.assume_role(
        RoleArn=key.role,
        RoleSessionName=f"bulkhead-{key.operation}",
        DurationSeconds=_SESSION_SECONDS,
        **external,
    )["Credentials"]
    return boto3.session.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=session.region_name
    )
