"""Links to stored objects, which the web layer makes for the version and partition of a request."""

from __future__ import annotations

from typing import Protocol


class Link(Protocol):
    """Returns the absolute URL of a study, a series or an instance."""

    def __call__(self, study: str, series: str | None = None, instance: str | None = None, /) -> str: ...
