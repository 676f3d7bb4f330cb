"""The definitions of the extended query tags, and the errors of each tag (conformance §8.1).

One item holds all definitions. Every change of it is conditional on its revision.

Values are indexed under `QueryTag.key`. The key is never used again, not even when the same tag is deleted and added
again. So a new tag never finds values of a deleted one, and these can be removed later.

Stores and changes of the tags run at the same time. A store reads the tags after it has opened its record in the log of
commits, or its transaction expects the tags that it read before (`storage/index/writer.py`). A re-index, and the
removal of a tag, come after the change of the tags. They first raise the fence of every open record, and then move
every commit into the feed (`FeedLog.barrier`). A store that is not in the feed then has read the changed tags, or its
write conflicts and it reads them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from app.dicom.query.parameters import Catalogue
from app.dicom.validation.attributes import CORE, Attribute, ExtendedAttributes, Level, keyword_of
from app.storage.table import keys
from app.storage.table.codec import Record, decode, encode
from app.storage.table.partitions import PartitionFilter
from app.storage.table.ports import Absent, Holds, Item, Put, Range, Require, Table
from app.storage.table.retry import retry

T = TypeVar("T")

MAX_TAGS: Final = 128

_NONE: Final = "none"
"""Sorts after the key of every error, because these begin with a year."""
_REMEMBERED: Final = 10_000
"""Tags and partitions whose first error a process remembers."""

ADDING: Final = "adding"
READY: Final = "ready"

ENABLED: Final = "enabled"
DISABLED: Final = "disabled"


class QueryTag(Record, frozen=True, kw_only=True, array_like=True):
    """One extended query tag.

    `path` is 8 upper-case hex digits, `number` the revision of the definitions that added the tag. `operation` is the
    id of the re-index that makes the tag ready. `noted` says that each partition with entries of the tag is noted
    (`table/tag_partitions.py`). It is not for tags of earlier releases.
    """

    path: str
    vr: str
    level: Level
    number: int
    operation: str
    creator: str = ""
    status: str = ADDING
    query_status: str = ENABLED
    noted: bool = False

    @property
    def key(self) -> str:
        return self.attribute.key

    @property
    def attribute(self) -> Attribute:
        return Attribute(
            tag=self.path,
            keyword=keyword_of(self.path),
            vr=self.vr,
            level=self.level,
            number=self.number,
            creator=self.creator,
        )


_DEFINITIONS: Final = msgspec.json.Decoder(list[QueryTag])


@dataclass(frozen=True, slots=True)
class QueryTags:
    """All definitions as they were read, oldest first. A frozen snapshot."""

    revision: int = 0
    tags: tuple[QueryTag, ...] = ()
    extended: ExtendedAttributes = field(init=False)
    """The attributes to index, by level."""

    def __post_init__(self) -> None:
        levels = {level: tuple(each.attribute for each in self.tags if each.level is level) for level in Level}
        object.__setattr__(self, "extended", levels)

    @property
    def catalogue(self) -> Catalogue:
        """The attributes that searches may filter on: the core attributes, and the tags that are ready."""
        ready = [each for each in self.tags if each.status == READY]
        disabled = frozenset(each.path for each in ready if each.query_status == DISABLED)
        return Catalogue(attributes={**CORE, **{each.path: each.attribute for each in ready}}, disabled=disabled)

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
        """The condition that no tag was added, deleted or changed since. For a write beside other changes."""
        return Require(keys.QUERY_TAGS, Holds("revision", self.revision) if self.revision else Absent())

    def replace_with(self, tags: Iterable[QueryTag]) -> Put:
        """Return the change that replaces these definitions. It fails if they were changed since they were read."""
        definitions = msgspec.json.encode(list(tags))
        return Put(Item(keys.QUERY_TAGS, {"revision": self.revision + 1}, definitions), self.unchanged.expect)


class TagError(Record, frozen=True, kw_only=True):
    """The reason why an instance could not be indexed under a tag. `created` as in `clock.timestamp`."""

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
        self._last_read = QueryTags()
        self._first_errors: dict[tuple[str, str], str] = {}  # the first error of a tag in a partition, or _NONE

    def read(self) -> QueryTags:
        """Return the present definitions. One read."""
        item = self._table.get(keys.QUERY_TAGS)
        tags = QueryTags(item.fields["revision"], tuple(_DEFINITIONS.decode(item.data))) if item else QueryTags()
        self._last_read = tags
        return tags

    def last_read(self) -> QueryTags:
        """Return the definitions that this process read last. A write with them must expect that they are `unchanged`.

        They may be out of date. A process that has read none yet gets none.
        """
        return self._last_read

    def extended(self) -> ExtendedAttributes:
        """Return the attributes to index at present, by level. One read."""
        return self.read().extended

    def save(self, tags: QueryTags, new: Iterable[QueryTag]) -> None:
        """Write new definitions in the place of those that were read. Raises `Conflict` if they were changed since."""
        self._table.write(tags.replace_with(new))

    def change(self, read_and_write: Callable[[QueryTags], T]) -> T:
        """Call a function that gets the present definitions and writes new ones. Repeat the call after a conflict."""
        return retry(lambda: read_and_write(self.read()))

    def disable(self, tags: QueryTags, tag_keys: frozenset[str]) -> bool:
        """Disable those of the tags with these keys that are enabled. False if there are none. Raises as `save`."""
        if not any(each.key in tag_keys and each.query_status == ENABLED for each in tags.tags):
            return False
        self.save(tags, (replace(each, query_status=DISABLED) if each.key in tag_keys else each for each in tags.tags))
        return True

    def make_ready(self, operation: str) -> None:
        """Make the tags of a re-index ready. Tags that were deleted in the meantime stay deleted."""

        def write_ready(tags: QueryTags) -> None:
            if any(each.operation == operation and each.status == ADDING for each in tags.tags):
                ready = (replace(each, status=READY) if each.operation == operation else each for each in tags.tags)
                self.save(tags, ready)

        self.change(write_ready)

    # --- errors ---

    def error_count(self, tag: QueryTag, visible: PartitionFilter | None = None) -> int:
        """Return how many instances of visible partitions could not be indexed under a tag. None: of all partitions.

        It is counted, so it is exact. A filter reads every error of the tag.
        """
        if visible is None:
            return self._table.count(keys.tag_errors(tag.key))
        return sum(1 for _ in self._error_items(tag, visible))

    def has_errors(self, tag: str, partition_name: str) -> bool:
        """Return whether the tag with this key has errors in a partition. The tag must be ready.

        A ready tag gets no further errors. So a process remembers up to which error none is in the partition.
        """
        known = (tag, partition_name)
        between = Range(self._first_errors.get(known, ""))
        items = self._table.query(keys.tag_errors(tag), between) if between.low != _NONE else ()
        first = next((item.key.sk for item in items if item.fields["partition_name"] == partition_name), _NONE)
        if len(self._first_errors) >= _REMEMBERED:
            self._first_errors.clear()
        self._first_errors[known] = first
        return first != _NONE

    def errors(
        self, tag: QueryTag, offset: int, limit: int, visible: PartitionFilter | None = None
    ) -> Iterator[TagError]:
        """Yield the errors of a tag in visible partitions, oldest first. Skipped ones are read too."""
        if visible is None:
            items = self._table.query(keys.tag_errors(tag.key), limit=offset + limit)
        else:
            items = self._error_items(tag, visible)
        return (decode(TagError, item.fields) for item in islice(items, offset, offset + limit))

    def _error_items(self, tag: QueryTag, visible: PartitionFilter) -> Iterator[Item]:
        items = self._table.query(keys.tag_errors(tag.key))
        return (item for item in items if visible(item.fields["partition_name"]))


def error_item(tag: str, place: str, error: TagError) -> Item:
    """Return the item of an error. The row of the instance must name it (`InstanceRow.errors`), so that a deletion
    finds it."""
    return Item(keys.tag_error(tag, place), encode(error))
