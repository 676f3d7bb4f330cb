"""Thumbnails of new series, made before anybody asks for them (conformance §4.10)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from app.errors import DecoderUnavailable, ImageFailure, LostData, NotAcceptable
from app.services.retrieve.renderers import JPEG
from app.services.retrieve.rendering import Rendering
from app.storage.feed.change_feed import FeedLog
from app.storage.index.instances import Instances

_PAGE: Final = 1000
"""Entries of the feed that are read in one step."""
_QUIET_SECONDS: Final = 10.0
"""A series without a change for so long counts as complete: its middle instance is known."""
_MOST_WAITING: Final = 10_000
"""Series that wait. The thumbnails of more are made when somebody asks for them."""


class _Series(NamedTuple):
    partition: int
    study: str
    series: str


class NewThumbnails:
    """A step of the background work: follows the feed and puts the thumbnail of each new series into the cache.

    It begins with what is stored after its start, and remembers its place in memory. A worker that is killed forgets
    the series that wait; their thumbnails are made when somebody asks for them.
    """

    def __init__(
        self,
        feed: FeedLog,
        instances: Instances,
        rendering: Rendering,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feed = feed
        self._instances = instances
        self._rendering = rendering
        self._clock = clock
        self._read: int | None = None
        self._waiting: dict[_Series, float] = {}

    def run_once(self) -> bool:
        """Read new entries, or make the thumbnail of one series. Returns whether there was anything to do."""
        if self._read is None:
            self._read = self._feed.sequence()
            return False
        return self._follow(self._read) or self._make_one()

    def _follow(self, read: int) -> bool:
        last = min(read + _PAGE, self._feed.sequence())
        for entry in self._feed.entries(read + 1, last):
            series = _Series(entry.partition, entry.study, entry.series)
            if entry.action != "Delete" and (series in self._waiting or len(self._waiting) < _MOST_WAITING):
                self._waiting.pop(series, None)  # so that the series that changed last is the last one
                self._waiting[series] = self._clock()
        self._read = last
        return last > read

    def _make_one(self) -> bool:
        series, changed = next(iter(self._waiting.items()), (None, 0.0))
        if series is None or self._clock() < changed + _QUIET_SECONDS:
            return False
        del self._waiting[series]
        rows = self._instances.view(series.partition, series.study, series.series).in_order
        if rows:
            try:
                row = self._rendering.representative(rows, lambda _: True)
                self._rendering.content(self._rendering.thumbnail(row, None, JPEG, None))
            except (ImageFailure, NotAcceptable, LostData, DecoderUnavailable):
                pass  # whoever asks for the thumbnail gets the reason
        return True
