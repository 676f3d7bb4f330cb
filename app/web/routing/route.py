"""Routes as data. The mounting, the tests and the list in the README read this data.

A module in `routes/` makes one `Resource` and registers its handlers on it:

    resource = Resource("delete")

    @resource.route("DELETE", "/studies/<study>", action=Action.DELETE, audit="delete", answers={204: ()})
    def delete(context: PartitionContext, study: str) -> Response: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

from flask import Request, Response
from marshmallow import Schema

from app.services.access.rights import Action
from app.settings import Settings
from app.web.negotiation.offers import Representation
from app.web.routing import versions
from app.web.routing.versions import ApiVersion

Handler = TypeVar("Handler", bound=Callable[..., Response])


STUDY_PATH: Final = "/studies/<study>"
SERIES_PATH: Final = f"{STUDY_PATH}/series/<series>"
INSTANCE_PATH: Final = f"{SERIES_PATH}/instances/<instance>"
"""The paths of a study, a series and an instance."""
PARTITION_PREFIX: Final = "/partitions/<partition>"
"""The part of a path between the version and the path of a partition's route."""
PAGES_PREFIX: Final = "/ui"
"""The first part of the path of every page but the front page."""


class Scope(Enum):
    """Where a route exists."""

    PARTITION = "partition"
    """Below a partition. The base form exists too: it serves while partitions are off (conformance §2.4)."""
    BELOW_PARTITION = "below partition"
    """Below a partition, without a base form."""
    BASE = "base"
    """Without a partition."""
    UNVERSIONED = "unversioned"
    """Without a partition and without a version."""
    PAGE = "page"
    """A page for people, without a partition. Pages have no version."""
    PARTITION_PAGE = "partition page"
    """A page for people below `/ui` and a partition. The form without a partition serves while partitions are off."""


PARTITION_SCOPES: Final = frozenset({Scope.PARTITION, Scope.BELOW_PARTITION, Scope.PARTITION_PAGE})
"""The scopes of routes that serve one partition."""


class RequestBody(Protocol):
    """How a route reads the request body."""

    media_types: tuple[str, ...]
    """The media types that it reads."""

    def open(self, request: Request, settings: Settings) -> Callable[[], Any]:
        """Check the Content-Type and return a function that reads the body. Raises `UnsupportedContent`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method on one or more paths, and everything that the service knows about it before the handler runs."""

    method: str
    paths: tuple[str, ...]
    """Templates below version and partition, e.g. `/studies/<study>`."""
    handler: Callable[..., Response]
    action: Action | None
    """The right that the caller needs: in the partition of the URL; on a route without one, `read` in any partition,
    and every other action in all partitions. None: no caller needs a right. The answer has what the caller may see."""
    audit: str | None
    """The name of the audit event. None: the call is not audited."""
    scope: Scope = Scope.PARTITION
    versions: tuple[ApiVersion, ...] = versions.ALL
    in_all_partitions: bool = False
    """Of a route without a partition: the caller needs `read` in all partitions too."""
    public: bool = False
    """A request needs no credentials."""
    creates_partition: bool = False
    """A partition that does not exist is created, after every check that needs no partition."""
    patient_data: bool = False
    """The answer may contain data of patients or their UIDs. No cache may share it."""
    answers: Mapping[int, tuple[str, ...]]
    """Status to media types, for the answers of the handler. Errors declare theirs in `app.errors`."""
    requires_json: bool = False
    """The Accept header must admit DICOM JSON (conformance §1.7)."""
    representations: tuple[Representation, ...] = ()
    """What the Accept header chooses from. The handler gets the acceptable ones as `offers`, the best first."""
    read_accept: Callable[[str | None], Any] | None = None
    """Reads the Accept header where the object decides what can be answered. The handler gets the result as `accepted`.
    """
    query: Schema | None = None
    """The schema of the query parameters. The handler gets their values as `parameters`."""
    body: RequestBody | None = None
    """How the body is read. The handler gets the result as `body`."""
    selected_by: str = ""
    """The query parameter that the route is for. Without it the path has no resource: 404. Empty: none is needed."""
    check_enabled: Callable[[Settings], None] | None = None
    """Raises the error of a feature that the operator switched off."""
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Further arguments of the handler."""


class Resource:
    """The routes of one module, in the order of their registration."""

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self.routes: Final[list[Route]] = []
        self.after_request: Callable[[Response], Response] | None = None
        """Changes every answer of the resource, errors included."""
        self.error_handlers: Final[dict[type[Exception], Callable[[Any], Response]]] = {}

    def route(self, method: str, *paths: str, **properties: Any) -> Callable[[Handler], Handler]:
        """Register the decorated function as the handler of a `Route` with these properties."""

        def register(handler: Handler) -> Handler:
            self.routes.append(Route(method=method, paths=paths, handler=handler, **properties))
            return handler

        return register
