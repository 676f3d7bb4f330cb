"""Two consumers of the change feed: one pages by sequence (v1), one by time (v2). Each keeps its pages.

A page that a consumer has read never changes: its window had ended. Only the state of its entries may.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from tests.torture.requests import Requests

CLOCK_HEADER: Final = "X-Server-Clock"
"""The header with the clock of a server. The servers of the campaign send it."""

_ENDED_SECONDS: Final = 5.5
"""A window by time is complete when it ended so long ago on the clock of the server (conformance §10.5)."""

Entry = tuple[int, str, str, str, str, str, str]
"""Sequence, partition, study, series, instance, action, time."""


@dataclass(slots=True)
class Page:
    """A page of the feed, as it was when it was complete."""

    target: str
    entries: list[Entry]


@dataclass(slots=True)
class FeedConsumer:
    """What both consumers share. `pages` are in the order of the feed."""

    requests: Requests
    chance: random.Random
    pages: list[Page] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        """Read what is new, and sometimes an old page again, until `stop` is set."""
        while not stop.wait(0.1 + 0.4 * self.chance.random()):
            self.read_new()
            if self.pages and self.chance.random() < 0.3:
                self.check(self.chance.choice(self.pages))

    def read_new(self) -> None:
        """Read the pages that are complete and were not read yet."""
        raise NotImplementedError

    def check(self, page: Page) -> bool:
        """Read a page again and compare it. Return whether there was an answer."""
        entries = self.read(page.target)
        if entries is not None and entries != page.entries:
            changed = sorted(set(entries) ^ set(page.entries))
            self.requests.journal.violate("a closed page never changes", ("feed", page.target), str(changed)[:1000])
        return entries is not None

    def read(self, target: str, server: int | None = None) -> list[Entry] | None:
        """Return the entries of a page, None without an answer."""
        subject = ("feed", target)
        answer = self.requests.send("feed", subject, "GET", target, allowed=(200,), server=server)
        return [entry_of(each) for each in answer.json()] if answer.status == 200 else None

    def entries(self) -> list[Entry]:
        """Return all entries that the consumer has read, in the order in which it has read them."""
        return [entry for page in self.pages for entry in page.entries]


@dataclass(slots=True)
class SequenceConsumer(FeedConsumer):
    """Pages by sequence up to that of the newest entry."""

    offset: int = 0

    def read_new(self) -> None:
        answer = self.requests.send(
            "feed latest", "feed", "GET", "/v1/changefeed/latest?includemetadata=false", allowed=(200, 204)
        )
        latest = answer.json()["sequence"] if answer.status == 200 else 0
        while self.offset < latest:
            limit = min(100, latest - self.offset)
            target = f"/v1/changefeed?offset={self.offset}&limit={limit}&includemetadata=false"
            entries = self.read(target)
            if entries is None:
                return
            self.pages.append(Page(target, entries))
            self.offset += limit


@dataclass(slots=True)
class TimeConsumer(FeedConsumer):
    """Pages by windows of time. A window ends before the clock of the server that it asks, by a few seconds."""

    start: float = 0.0

    @property
    def ended(self) -> str:
        """The end of the last window, as the times of entries are written."""
        return _time(self.start).replace("Z", "0+00:00")

    def read_new(self) -> None:
        server = self.chance.randrange(self.requests.transport.servers)
        answer = self.requests.send("health", "health", "GET", "/health/check", allowed=(200,), server=server)
        if answer.status == 200 and CLOCK_HEADER in answer.headers:
            end = float(answer.headers[CLOCK_HEADER]) - _ENDED_SECONDS
            if end > self.start:
                self._read_window(_time(self.start), end, server)

    def _read_window(self, start: str, end: float, server: int) -> None:
        window = f"startTime={start}&endTime={_time(end)}&limit=200&includemetadata=false"
        offset, pages = 0, []
        while True:
            target = f"/v2/changefeed?{window}&offset={offset}"
            entries = self.read(target, server)
            if entries is None:
                return
            pages.append(Page(target, entries))
            if len(entries) < 200:
                break
            offset += 200
        self.pages += pages
        self.start = end


def entry_of(entry: dict[str, Any]) -> Entry:
    """Return what never changes of an entry."""
    return (
        entry["sequence"],
        entry["partitionName"],
        entry["studyInstanceUid"],
        entry["seriesInstanceUid"],
        entry["sopInstanceUid"],
        entry["action"],
        entry["timestamp"],
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
