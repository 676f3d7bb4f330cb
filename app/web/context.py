"""What a handler knows of its request: the version it was mounted under, the partition, the links, the services."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from flask import Request, current_app, g, request

from app.dicom.encoding.uids import clean_uid
from app.services import Services
from app.services.links import Link
from app.services.policy import Policy
from app.settings import Settings
from app.storage.table.partitions import Partition

HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
"""What a Host header may be; names with an underscore too, as containers and upstreams of proxies have them."""

SERVICES: Final = "bulkhead"
SETTINGS: Final = "bulkhead.settings"

_UIDS: Final = {
    "study": "StudyInstanceUid",
    "series": "SeriesInstanceUid",
    "instance": "SopInstanceUid",
    "workitem": "WorkitemInstanceUid",
}


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a resource is registered: the version's path prefix and what the version does."""

    prefix: str
    policy: Policy


@dataclass(slots=True)
class Scope:
    """One request. `asked` is the partition name in the URL, None in the base form."""

    mount: Mount
    asked: str | None
    resolved: Partition | None = None

    @property
    def services(self) -> Services:
        """The use cases of this application."""
        services: Services = current_app.extensions[SERVICES]
        return services

    @property
    def settings(self) -> Settings:
        """What the operator chose."""
        settings: Settings = current_app.extensions[SETTINGS]
        return settings

    @property
    def policy(self) -> Policy:
        """What the version of this request does."""
        return self.mount.policy

    def partition(self, *, create: bool = False) -> Partition:
        """Return the partition of this request, made first where that is allowed. Raises `PartitionError` (conformance §2.4).

        A handler calls this after its checks of Accept, Content-Type and path, so that what they refuse makes none.
        """
        self.resolved = self.services.partitions.resolve(self.asked, create=create)
        return self.resolved

    def url(self, path: str) -> str:
        """Return the absolute URL of a path in this request's version and partition, the partition as first spelt."""
        root = (self.settings.public_url or address(request)) + self.mount.prefix
        if self.asked is not None and self.resolved is not None:
            root += f"/partitions/{self.resolved.name}"
        return root + path

    def operation_url(self, operation: str) -> str:
        """Return the absolute URL of an operation in this request's version; operations lie in no partition."""
        return (self.settings.public_url or address(request)) + f"{self.mount.prefix}/operations/{operation}"

    def link(self) -> Link:
        """Return the maker of links in this request's version and partition."""
        root = self.url("")

        def link(study: str, series: str | None = None, instance: str | None = None, /) -> str:
            return root + resource_path(study, series, instance)

        return link


def address(request: Request) -> str:
    """Return scheme, host and script name as the client sees them; `request.root_url` takes far longer over it."""
    host = request.host or request.environ["HTTP_HOST"]  # the former is empty for what werkzeug thinks no name
    return f"{request.scheme}://{host}{request.script_root}".rstrip("/")


def resource_path(study: str, series: str | None = None, instance: str | None = None) -> str:
    """Return the path of a study, a series or an instance, below version and partition."""
    path = f"/studies/{study}"
    if series is not None:
        path += f"/series/{series}"
    if instance is not None:
        path += f"/instances/{instance}"
    return path


def bind(_endpoint: str | None, values: MutableMapping[str, Any] | None) -> None:
    """Turn the values of a matched URL into a handler's arguments: `scope`, and UIDs that are checked (conformance §3.7)."""
    if values is None:
        return
    scope = Scope(values.pop("mount"), values.pop("partition", None))
    g.scope = values["scope"] = scope
    if request.method == "OPTIONS":  # a browser asks before it calls, and shall hear of a bad UID when it does
        return
    for name in values.keys() & _UIDS.keys():
        values[name] = clean_uid(values[name], _UIDS[name])
