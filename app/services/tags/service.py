"""The calls that manage extended query tags: add, list, enable and disable, delete (conformance §8.1).

Each change is one write of the definitions and of the operation that follows. A kill -9 leaves both or neither. The
write that deletes a tag hides it at once. Its index entries are removed later (`services/tags/tasks.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from app.errors import InvalidRequest, QueryTagExists, QueryTagNotFound
from app.services.access.caller import Caller
from app.services.access.rights import Action
from app.services.operations.directory import REINDEX
from app.services.operations.runner import announce
from app.services.tags.rules import TagDefinition, TagRequest, any_tag, check
from app.storage.operations.operations import Operation, Operations, new_id
from app.storage.table.ports import Change, Queue
from app.storage.tags.query_tags import MAX_TAGS, QueryTag, QueryTags, QueryTagStore, TagError

REMOVAL: Final = "tag-removal"
TOO_MANY_TAGS: Final = f"Extended query tags exceeds max allowed count '{MAX_TAGS}'."


@dataclass(frozen=True, slots=True)
class QueryTagEntry:
    """A tag, and how many instances that the caller sees could not be indexed under it (conformance §8.2)."""

    tag: QueryTag
    errors: int


class ExtendedQueryTags:
    """Adds, lists, changes and deletes extended query tags."""

    def __init__(self, tags: QueryTagStore, operations: Operations, queue: Queue) -> None:
        self._tags = tags
        self._operations = operations
        self._queue = queue

    def add(self, caller: Caller, entries: Sequence[TagRequest]) -> str:
        """Define the requested tags, all or none. Return the id of the re-index that makes them ready.

        Raises, in this order: `OperationActive`, `InvalidRequest` for a tag that breaks a rule, `QueryTagExists`,
        `InvalidRequest` for too many tags.
        """
        self._operations.refuse_if_active(REINDEX)
        definitions = check(entries)
        operation = new_id()

        def define(tags: QueryTags) -> None:
            added = _new_tags(tags, definitions, operation)
            self._operations.start(
                REINDEX,
                {"tags": [each.key for each in added]},
                exclusive=True,
                resources=[each.path for each in added],
                named=operation,
                started_by=caller.identity,
                alongside=lambda _: [tags.replace_with([*tags.tags, *added])],
            )

        self._tags.change(define)
        announce(self._queue, operation)
        return operation

    def page(self, caller: Caller, *, offset: int, limit: int) -> list[QueryTagEntry]:
        """Return a page of the tags, oldest first."""
        return [self._entry(caller, each) for each in self._tags.read().tags[offset : offset + limit]]

    def find(self, caller: Caller, name: str) -> QueryTagEntry:
        """Return the tag with a keyword or with 8 hex digits. Raises `InvalidRequest` or `QueryTagNotFound`."""
        return self._entry(caller, _find(self._tags.read(), name))

    def errors(self, caller: Caller, name: str, *, offset: int, limit: int) -> Iterator[TagError]:
        """Yield a page of the errors of a tag that the caller sees, oldest first. Raises as `find`."""
        tag = _find(self._tags.read(), name)
        return self._tags.errors(tag, offset, limit, caller.rights.filter(Action.READ))

    def patch(self, caller: Caller, name: str, query_status: str) -> QueryTagEntry:
        """Set whether searches may use a tag: `enabled` or `disabled`. Raises as `find`."""

        def write_status(tags: QueryTags) -> QueryTag:
            old = _find(tags, name)
            new = replace(old, query_status=query_status)
            self._tags.save(tags, (new if each is old else each for each in tags.tags))
            return new

        return self._entry(caller, self._tags.change(write_status))

    def delete(self, name: str, *, started_by: str = "") -> None:
        """Delete a tag, for the caller with this `Caller.identity`. Later calls do not find it.

        Raises as `find`, but not if another call deleted it at the same time.
        """
        found = False

        def write_without(tags: QueryTags) -> Operation | None:
            nonlocal found
            try:
                tag = _find(tags, name)
            except QueryTagNotFound:
                if found:
                    return None
                raise
            found = True
            without: list[Change] = [tags.replace_with(each for each in tags.tags if each is not tag)]
            request = {"tag": tag.key, "level": tag.level.word, "vr": tag.vr, "noted": tag.noted}
            return self._operations.start(REMOVAL, request, started_by=started_by, alongside=lambda _: without)

        operation = self._tags.change(write_without)
        if operation:
            announce(self._queue, operation.id)

    def _entry(self, caller: Caller, tag: QueryTag) -> QueryTagEntry:
        return QueryTagEntry(tag, self._tags.error_count(tag, caller.rights.filter(Action.READ)))


def _new_tags(tags: QueryTags, definitions: Sequence[TagDefinition], operation: str) -> list[QueryTag]:
    if any(tags.find(each.path) for each in definitions):
        raise QueryTagExists
    if len(tags.tags) + len(definitions) > MAX_TAGS:
        raise InvalidRequest(TOO_MANY_TAGS)
    number = tags.revision + 1
    return [
        QueryTag(
            path=each.path,
            vr=each.vr,
            level=each.level,
            number=number,
            operation=operation,
            creator=each.creator,
            noted=True,
        )
        for each in definitions
    ]


def _find(tags: QueryTags, name: str) -> QueryTag:
    found = tags.find(any_tag(name))
    if found is None:
        raise QueryTagNotFound(name)
    return found
