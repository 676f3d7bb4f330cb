"""The extended query tags: one item defines them all, and every change of it expects its revision (conformance §8.1).

A tag is filed under `QueryTag.key`, which no other tag ever had, not the same one before it was deleted either: so
nothing that is left of a deleted tag is found under a new one, and its removal has no need to hurry.

While tags come and go, a store reserves its numbers first and reads the tags then (`storage/index/writer.py`). A re-index,
and the removal of a tag, first close the feed up to a number read after the change of this item. So a store with a
higher number knew of the change, and one with a lower number has ended, or conflicts and begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, NamedTuple, TypeVar

import orjson

from app.dicom.query.parameters import Catalogue
from app.dicom.validation.attributes import CORE, Attribute, ExtendedAttributes, Level, keyword_of
from app.storage.table import keys
from app.storage.table.ports import Absent, Change, Holds, Item, Put, Require, Table
from app.storage.table.retry import retry

T = TypeVar("T")

MAX_TAGS: Final = 128

ADDING: Final = "adding"
READY: Final = "ready"

ENABLED: Final = "enabled"
DISABLED: Final = "disabled"


@dataclass(frozen=True, slots=True)
class QueryTag:
    """One extended query tag: `path` is 8 upper-case hex digits, `number` the revision it was added with.

    `operation` is the id of the re-index that makes it ready.
    """

    path: str
    vr: str
    level: Level
    number: int
    operation: str
    creator: str = ""
    status: str = ADDING
    query_status: str = ENABLED

    @property
    def key(self) -> str:
        return self.attribute.key

    @property
    def attribute(self) -> Attribute:
        return Attribute(self.path, keyword_of(self.path), self.vr, self.level, self.number, self.creator)

    @property
    def _said(self) -> list[str | int]:
        return [
            self.path,
            self.vr,
            self.level,
            self.number,
            self.operation,
            self.creator,
            self.status,
            self.query_status,
        ]

    @staticmethod
    def of(said: list[str | int]) -> QueryTag:
        path, vr, level, number, *rest = said
        return QueryTag(str(path), str(vr), Level(int(level)), int(number), *map(str, rest))


@dataclass(frozen=True, slots=True)
class QueryTags:
    """All definitions as they were read, oldest first."""

    revision: int = 0
    tags: tuple[QueryTag, ...] = ()
    extended: ExtendedAttributes = field(init=False)
    """The attributes to file, by level."""

    def __post_init__(self) -> None:
        levels = {level: tuple(each.attribute for each in self.tags if each.level is level) for level in Level}
        object.__setattr__(self, "extended", levels)

    @property
    def catalogue(self) -> Catalogue:
        """What searches may filter on: the core attributes, and the tags that are ready."""
        ready = [each for each in self.tags if each.status == READY]
        disabled = frozenset(each.path for each in ready if each.query_status == DISABLED)
        return Catalogue({**CORE, **{each.path: each.attribute for each in ready}}, disabled)

    def find(self, path: str) -> QueryTag | None:
        return next((each for each in self.tags if each.path == path), None)

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(each.key for each in self.tags)

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        return tuple(each for level in self.extended.values() for each in level)

    @property
    def unchanged(self) -> Require:
        """The condition that a write may put: no tag has come, gone or changed since."""
        return Require(keys.QUERY_TAGS, Holds("revision", self.revision) if self.revision else Absent())

    def replaced(self, tags: Iterable[QueryTag]) -> Put:
        """Return the change to other definitions, on the condition that these still are."""
        said = orjson.dumps([each._said for each in tags])
        return Put(Item(keys.QUERY_TAGS, {"revision": self.revision + 1}, said), self.unchanged.expect)


class TagError(NamedTuple):
    """Why an instance could not be filed under a tag; `created` as in `clock.timestamp`."""

    partition_name: str
    study: str
    series: str
    instance: str
    created: str
    message: str


class QueryTagStore:
    """Reads and writes the definitions, and the errors of each tag."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self) -> QueryTags:
        """Return the definitions as they are now: one read."""
        item = self._table.get(keys.QUERY_TAGS)
        if item is None:
            return QueryTags()
        return QueryTags(item.fields["revision"], tuple(map(QueryTag.of, orjson.loads(item.data))))

    def extended(self) -> ExtendedAttributes:
        """Return the attributes to file now, by level: one read."""
        return self.read().extended

    def write(self, *changes: Change) -> None:
        """Raises `Conflict` when the definitions were changed meanwhile."""
        self._table.write(*changes)

    def change(self, act: Callable[[QueryTags], T]) -> T:
        """Act on the definitions until nobody changes them between their reading and their writing."""
        return retry(lambda: act(self.read()))

    def disable(self, tags: QueryTags, keys: frozenset[str]) -> bool:
        """Disable those of these tags that are enabled; false if none is. Raises `Conflict` as `write`."""
        if not any(each.key in keys and each.query_status == ENABLED for each in tags.tags):
            return False
        self.write(
            tags.replaced(replace(each, query_status=DISABLED) if each.key in keys else each for each in tags.tags)
        )
        return True

    def make_ready(self, operation: str) -> None:
        """Make the tags ready that a re-index was to make so; those that are not defined any more stay deleted."""

        def act(tags: QueryTags) -> None:
            if any(each.operation == operation and each.status == ADDING for each in tags.tags):
                ready = (replace(each, status=READY) if each.operation == operation else each for each in tags.tags)
                self.write(tags.replaced(ready))

        self.change(act)

    # --- errors ---

    def error_count(self, tag: QueryTag) -> int:
        """Return how many instances could not be filed under a tag: counted, so always exact."""
        return self._table.count(keys.tag_errors(tag.key))

    def has_errors(self, tag: str) -> bool:
        """Tell the same of the tag with this key, with one read."""
        return any(True for _ in self._table.query(keys.tag_errors(tag), limit=1))

    def errors(self, tag: QueryTag, offset: int, limit: int) -> Iterator[TagError]:
        """Yield the errors of a tag, oldest first; those skipped are read too."""
        items = self._table.query(keys.tag_errors(tag.key), limit=offset + limit)
        return (TagError(**item.fields) for item in islice(items, offset, None))


def error_item(tag: str, place: str, error: TagError) -> Item:
    """Return the item of an error; the instance's row must name it (`InstanceRow.errors`), so that it goes with it."""
    return Item(keys.tag_error(tag, place), error._asdict())
