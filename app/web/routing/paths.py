"""One spelling for each path: a step before the routing (conformance §1.1).

Clients write literal segments in any letter case, versions in several spellings, and a slash too many where a base URL
ends in a slash. The routing sees none of this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.web.routing.route import PAGES_PREFIX, PARTITION_PREFIX, Resource, Scope
from app.web.routing.versions import BY_SPELLING, UNVERSIONED
from app.web.schemas.parameters import has_parameter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

VERSION_PREFIX: Final = "bulkhead.version_prefix"
"""Key of the WSGI environment: the version as generated URLs spell it, e.g. `/v1`. Empty if the URL has no version."""

_VERSION: Final = re.compile(r"v(\d+(?:\.\d+)*(?:-[a-z0-9]+)?)", re.ASCII | re.IGNORECASE)


@dataclass(slots=True)
class _Node:
    """One position in the paths of the routes. `literals` are by their lower-case spelling."""

    literals: dict[str, tuple[str, _Node]] = field(default_factory=dict)
    parameter: _Node | None = None

    def add(self, segments: list[str]) -> None:
        node = self
        for segment in segments:
            if segment.startswith("<"):
                node.parameter = node = node.parameter or _Node()
            else:
                node = node.literals.setdefault(segment.lower(), (segment, _Node()))[1]

    def canonical(self, segments: list[str]) -> list[str]:
        """Return the segments with literals in the spelling of the routes. Other segments stay as they are."""
        spelt, node = [], self
        for at, segment in enumerate(segments):
            literal, following = node.literals.get(segment.lower(), (segment, node.parameter))
            spelt.append(literal)
            if following is None:
                return spelt + segments[at + 1 :]
            node = following
        return spelt


class CanonicalPaths:
    """WSGI middleware that rewrites PATH_INFO and sets `VERSION_PREFIX`."""

    def __init__(self, application: WSGIApplication, resources: Iterable[Resource]) -> None:
        self._application = application
        self._versioned, self._unversioned = _Node(), _Node()
        self._at_root: Final[set[str]] = set()
        """The query parameters that select a route at the root."""
        for route in (route for resource in resources for route in resource.routes):
            if route.selected_by and "" in route.paths:
                self._at_root.add(route.selected_by)
            for segments in (path.split("/")[1:] for path in route.paths):
                if route.scope in (Scope.UNVERSIONED, Scope.PAGE):
                    self._unversioned.add(segments)
                elif route.scope is Scope.PARTITION_PAGE:
                    for root in (PAGES_PREFIX, PAGES_PREFIX + PARTITION_PREFIX):
                        self._unversioned.add(root.split("/")[1:] + segments)
                elif route.scope is not Scope.BELOW_PARTITION:
                    self._versioned.add(segments)
                if route.scope in (Scope.PARTITION, Scope.BELOW_PARTITION):
                    self._versioned.add(PARTITION_PREFIX.split("/")[1:] + segments)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        is_page = path in ("", "/") and self._is_page(environ)
        environ[VERSION_PREFIX], environ["PATH_INFO"] = self.canonical(path, is_page=is_page)
        return self._application(environ, start_response)

    def _is_page(self, environ: WSGIEnvironment) -> bool:
        """Return whether a request to the root of the service is for the front page.

        The capabilities of the service, and retrieval by a query at the root, have the same URL.
        """
        query = environ.get("QUERY_STRING", "")
        return environ["REQUEST_METHOD"] != "OPTIONS" and not any(has_parameter(query, each) for each in self._at_root)

    def canonical(self, path: str, *, is_page: bool) -> tuple[str, str]:
        """Return the version prefix for generated URLs, and the path that the routes are mounted under.

        The path of a versioned route begins with the canonical name of the version, also where the URL has none.
        `is_page` says whether the root is the front page.
        """
        segments = _without_one_empty_segment(path.split("/")[1:])
        if segments == [""]:
            return "", "/" if is_page else f"/{UNVERSIONED.name}"
        version = BY_SPELLING.get(segments[0].lower()) if segments else None
        if version is not None:
            return f"/{version.name}", "/" + "/".join([version.name, *self._versioned.canonical(segments[1:])])
        if segments and segments[0].lower() in self._versioned.literals:
            return "", "/" + "/".join([UNVERSIONED.name, *self._versioned.canonical(segments)])
        return "", "/" + "/".join(self._unversioned.canonical(segments))


def unserved_version(path: str) -> str | None:
    """Return the number of the version that a path begins with, e.g. `3`, if that version is not served."""
    segment = path.split("/")[1] if path.startswith("/") else ""
    match = _VERSION.fullmatch(segment)
    return match[1] if match and segment.lower() not in BY_SPELLING else None


def _without_one_empty_segment(segments: list[str]) -> list[str]:
    """Return the segments without the first empty one. An empty last segment, a slash at the end, does not count."""
    try:
        at = segments.index("", 0, len(segments) - 1)
    except ValueError:
        return segments
    return segments[:at] + segments[at + 1 :]
