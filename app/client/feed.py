"""Reads the change feed of a server in the order of its sequence numbers (conformance §10)."""

from __future__ import annotations

from typing import Any, Final

from app.client.answers import entries_of
from app.client.connection import ArchiveClient

_WINDOW: Final = 100
"""Sequence numbers of one request, the most that a server reads at a time in version 1."""

_PATH: Final = "/changefeed"


class FeedReader:
    """Reads the entries after a sequence number, each of them once.

    `after` is the number up to which everything was read. A new reader goes on from there. `partition` selects the
    entries of one partition. Version 1 is read, because its windows are windows of numbers: no entry moves into one
    that was read.
    """

    def __init__(self, client: ArchiveClient, *, after: int = 0, partition: str | None = None, metadata: bool = False):
        self.after = after
        self._client = client
        self._selection = {"partitionName": partition} if partition else {}
        self._metadata = metadata

    def next_entries(self) -> list[dict[str, Any]]:
        """Return the next entries, an empty list if there are none yet. May make many calls where numbers are missing
        or entries belong to other partitions."""
        latest = self.latest()
        while self.after < latest:
            parameters = {"offset": str(self.after), "limit": str(_WINDOW), "includemetadata": _word(self._metadata)}
            entries = self._get(_PATH, parameters, "v1")
            # Nothing comes later below a number that a reader saw, so the numbers up to `latest` are complete.
            self.after = max([min(self.after + _WINDOW, latest), *(entry["sequence"] for entry in entries)])
            if entries:
                return entries
        return []

    def latest(self) -> int:
        """Return the sequence number of the newest entry, 0 without entries."""
        newest = self._get(f"{_PATH}/latest", {"includemetadata": "false"}, "v1")
        return int(newest[0]["sequence"]) if newest else 0

    def start_at(self, time: str) -> None:
        """Begin with the first entry from a time on, or behind all entries if there is none. The time is in ISO 8601
        with a zone."""
        first = self._get(_PATH, {"startTime": time, "limit": "1", "includemetadata": "false"}, "v2")
        self.after = int(first[0]["sequence"]) - 1 if first else self.latest()

    def _get(self, path: str, parameters: dict[str, str], version: str) -> list[dict[str, Any]]:
        """Return the entries of an answer. That to the path of the newest entry is one object."""
        answer = self._client.request("GET", path, at_base=True, version=version, params=parameters | self._selection)
        found = self._client.decoded(answer) if answer.content else []
        return entries_of([found] if isinstance(found, dict) else found, "sequence", int)


def _word(value: bool) -> str:
    return "true" if value else "false"
