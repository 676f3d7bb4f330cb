"""The page of the change feed: the newest changes first (conformance §10, §15.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from flask import Response
from marshmallow import EXCLUDE, Schema

from app.services.access.caller import Caller
from app.services.access.rights import Action
from app.services.change_feed import ChangeFeed, FeedEntryView, PartitionNames
from app.web.routing.context import Context
from app.web.routing.features import require_site
from app.web.routing.route import Scope
from app.web.schemas.parameters import LARGEST, IntegerParameter, PartitionNamesParameter
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page

PAGE_LENGTH: Final = 50
_WINDOW: Final = 100
_WINDOWS: Final = 10
"""A page reads up to this many windows of numbers, so its cost does not depend on how many changes are invisible."""

resource = pages("feed")


class _PartitionParameter(PartitionNamesParameter):
    """The names of partitions. An empty text selects all: a form sends it."""

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return super()._deserialize(value, attr, data, **kwargs) if value.strip() else None


class _Parameters(Schema):
    before = IntegerParameter("before", 0, LARGEST, 0)
    partitions = _PartitionParameter("partition")


class _Changes(NamedTuple):
    """Changes, the newest first. `older` is the number before which the next page begins; 0: this is the last one."""

    entries: list[FeedEntryView]
    older: int


@resource.route(
    "GET",
    "/ui/feed",
    scope=Scope.PAGE,
    action=Action.READ,
    audit="change-feed",
    patient_data=True,
    query=_Parameters(unknown=EXCLUDE),
    check_enabled=require_site,
    answers={200: (PAGE,)},
)
def feed(context: Context, parameters: Mapping[str, Any]) -> Response:
    """200 with a page of the changes that the caller may see."""
    before, partitions = parameters["before"], parameters["partitions"]
    changes = newest(context.services.change_feed, context.caller, before, partitions)
    enabled = context.settings.enable_data_partitions
    return page(
        "feed.html",
        title="Changes",
        entries=changes.entries,
        older=changes.older,
        is_first=not before,
        chosen=",".join(sorted(partitions or ())),
        partitions=[each.name for each in context.services.partitions.listed(context.caller)] if enabled else [],
    )


def newest(change_feed: ChangeFeed, caller: Caller, before: int, partitions: PartitionNames) -> _Changes:
    """Return the visible changes with numbers below `before`, 0 for the end of the feed.

    A page without changes may have older ones: then too many changes before it are invisible or not selected.
    """
    if not before:
        last = change_feed.latest(caller, by_time=False, metadata=False, partitions=partitions)
        if last is None:
            return _Changes([], 0)
        before = last.sequence + 1
    found: list[FeedEntryView] = []
    for _ in range(_WINDOWS):
        low = max(before - 1 - _WINDOW, 0)
        window = change_feed.by_sequence(
            caller, offset=low, limit=before - 1 - low, metadata=False, partitions=partitions
        )
        found += sorted(window, key=lambda each: each.sequence, reverse=True)
        before = low + 1
        if len(found) > PAGE_LENGTH:
            return _Changes(found[:PAGE_LENGTH], found[PAGE_LENGTH - 1].sequence)
        if not low:
            return _Changes(found, 0)
    return _Changes(found, before)
