"""The entries of the navigation: the pages that the caller may open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from app.services.access.rights import Action, Rights
from app.settings import Settings


class Entry(NamedTuple):
    """A page in the navigation."""

    path: str
    label: str


def entries(rights: Rights, settings: Settings) -> Iterator[Entry]:
    """Yield the entries in their order."""
    yield Entry("/", "Partitions")
    yield Entry("/ui/operations", "Operations")
    if rights.allows_somewhere(Action.READ):
        yield Entry("/ui/feed", "Changes")
        yield Entry("/ui/tags", "Query tags")
    yield Entry("/docs", "Documentation")
    if rights.allows_everywhere(Action.ALL):
        yield Entry("/ui/status", "Status")
