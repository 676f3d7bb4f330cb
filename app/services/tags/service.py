"""Extended query tags as callers manage them: added, listed, switched, deleted (conformance §8.1).

Each change is one write: the definitions, and with it the operation that follows from it. A kill -9 leaves both or
neither. A deleted tag is gone with that write; what is filed under it is removed afterwards (`services/tags/tasks.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.errors import InvalidRequest, QueryTagExists, QueryTagNotFound
from app.services.operations.runner import announce
from app.services.tags.rules import TagDefinition, TagRequest, any_tag, check
from app.storage.operations.operations import Operation, Operations, new_id
from app.storage.table.ports import Change, Queue
from app.storage.tags.query_tags import MAX_TAGS, QueryTag, QueryTags, QueryTagStore, TagError

REINDEX: Final = "reindex"
REMOVAL: Final = "tag-removal"
SWITCHED_OFF: Final = "Asynchronous operations are temporarily disabled. Please try again later."
TOO_MANY: Final = f"Extended query tags exceeds max allowed count '{MAX_TAGS}'."


@dataclass(frozen=True, slots=True)
class Listed:
    """A tag, and how many instances could not be filed under it."""

    tag: QueryTag
    errors: int


class ExtendedQueryTags:
    """The calls. None that starts an operation if not `enabled`."""

    def __init__(self, tags: QueryTagStore, operations: Operations, queue: Queue, *, enabled: bool = True) -> None:
        self._tags = tags
        self._operations = operations
        self._queue = queue
        self._enabled = enabled

    def add(self, entries: Sequence[TagRequest]) -> str:
        """Define the requested tags, all or none; return the id of the re-index that makes them ready.

        Raises, in this order, `OperationActive`, `InvalidRequest` for a tag,
        `QueryTagExists`, `InvalidRequest` for too many.
        """
        if not self._enabled:
            raise InvalidRequest(SWITCHED_OFF)
        self._operations.refuse_if_active(REINDEX)
        wanted = check(entries)
        operation = new_id()

        def define(tags: QueryTags) -> None:
            added = _defined(tags, wanted, operation)
            self._operations.start(
                REINDEX,
                {"tags": [each.key for each in added]},
                exclusive=True,
                resources=[each.path for each in added],
                named=operation,
                alongside=lambda _: [tags.replaced([*tags.tags, *added])],
            )

        self._tags.change(define)
        announce(self._queue, operation)
        return operation

    def listed(self, offset: int, limit: int) -> list[Listed]:
        """Return a page of the tags, oldest first."""
        return [self._listed(each) for each in self._tags.read().tags[offset : offset + limit]]

    def find(self, name: str) -> Listed:
        """Return the tag of a keyword or of 8 hex digits. Raises `InvalidRequest`, `QueryTagNotFound`."""
        return self._listed(_named(self._tags.read(), name))

    def errors(self, name: str, offset: int, limit: int) -> Iterator[TagError]:
        """Yield a page of a tag's errors, oldest first; raises as `find`."""
        return self._tags.errors(_named(self._tags.read(), name), offset, limit)

    def patch(self, name: str, query_status: str) -> Listed:
        """Set whether searches may use a tag: `enabled` or `disabled`. Raises as `find`."""

        def switch(tags: QueryTags) -> QueryTag:
            old = _named(tags, name)
            new = replace(old, query_status=query_status)
            self._tags.write(tags.replaced(new if each is old else each for each in tags.tags))
            return new

        return self._listed(self._tags.change(switch))

    def delete(self, name: str) -> None:
        """Delete a tag; whoever asks next does not find it. Raises as `find`, but not when another was faster."""
        seen: list[str] = []

        def remove(tags: QueryTags) -> Operation | None:
            try:
                tag = _named(tags, name)
            except QueryTagNotFound:
                if seen:
                    return None
                raise
            seen.append(tag.key)
            without: list[Change] = [tags.replaced(each for each in tags.tags if each is not tag)]
            asked = {"tag": tag.key, "level": tag.level.word, "vr": tag.vr}
            return self._operations.start(REMOVAL, asked, alongside=lambda _: without)

        operation = self._tags.change(remove)
        if operation:
            announce(self._queue, operation.id)

    def _listed(self, tag: QueryTag) -> Listed:
        return Listed(tag, self._tags.error_count(tag))


def _defined(tags: QueryTags, wanted: Sequence[TagDefinition], operation: str) -> list[QueryTag]:
    if any(tags.find(each.path) for each in wanted):
        raise QueryTagExists
    if len(tags.tags) + len(wanted) > MAX_TAGS:
        raise InvalidRequest(TOO_MANY)
    number = tags.revision + 1
    return [QueryTag(each.path, each.vr, each.level, number, operation, each.creator) for each in wanted]


def _named(tags: QueryTags, name: str) -> QueryTag:
    found = tags.find(any_tag(name))
    if found is None:
        raise QueryTagNotFound(name)
    return found
