"""What a handler knows about its request. `dispatch` makes the context before the handler runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv6Address
from typing import Final

from flask import Request

from app.services import Services
from app.services.access.caller import Caller
from app.services.audit.call import AuditedCall
from app.services.policy import Policy
from app.settings import Settings
from app.storage.table.partitions import Partition

_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[([0-9A-Fa-f:.]+)\])(?::[0-9]{1,5})?", re.ASCII)
_SCHEME: Final = re.compile("https?")
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~%-]+)*/?", re.ASCII)


def is_host(text: str) -> bool:
    """Return whether this is a valid Host header: a name or an address, perhaps with a port.

    Underscores are valid: containers and upstreams of proxies have such names.
    """
    match = _HOST.fullmatch(text)
    return match is not None and (match[1] is None or _is_ipv6(match[1]))


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def is_scheme(text: str) -> bool:
    """Return whether this is the scheme of an HTTP URL."""
    return _SCHEME.fullmatch(text) is not None


def is_prefix(text: str) -> bool:
    """Return whether this is a valid base path. It begins with a slash, so it never continues the host of a URL."""
    return _PREFIX.fullmatch(text) is not None


@dataclass(frozen=True)
class Links:
    """Absolute URLs in the version and in the partition of the request.

    `address` returns scheme, host and base path. `version_prefix` is as `/v2`, or empty. `partition` is the name as
    first spelt, and None where the URL of the request has no partition.
    """

    address: Callable[[], str]
    version_prefix: str
    partition: str | None = None

    @cached_property
    def root(self) -> str:
        """The URL of the version. Few answers have links, so it is made with the first one."""
        return self.address() + self.version_prefix

    def url(self, path: str) -> str:
        """Return the URL of a path below version and partition."""
        return f"{self.root}/partitions/{self.partition}{path}" if self.partition is not None else self.root + path

    def resource(self, study: str, series: str | None = None, instance: str | None = None, /) -> str:
        """Return the URL of a study, a series or an instance."""
        path = f"/studies/{study}"
        if series is not None:
            path += f"/series/{series}"
        if instance is not None:
            path += f"/instances/{instance}"
        return self.url(path)

    def operation(self, operation: str) -> str:
        """Return the URL of an operation. Operations belong to no partition."""
        return f"{self.root}/operations/{operation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A request to a route without a partition."""

    caller: Caller
    policy: Policy
    """What the API version of the request does."""
    links: Links
    request_id: str
    services: Services
    settings: Settings
    audit: AuditedCall
    """What the audit line after the answer says. The handler adds what the URL does not say: UIDs, counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionContext(Context):
    """A request to a route of a partition."""

    partition: Partition


def address(request: Request) -> str:
    """Return scheme, host and script name as the client sees them. `request.root_url` takes much longer."""
    host = request.host or request.environ["HTTP_HOST"]  # `request.host` is empty for names that werkzeug refuses
    return f"{request.scheme}://{host}{request.script_root}".rstrip("/")
