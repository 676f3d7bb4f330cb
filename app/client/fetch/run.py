"""One run of `bulkhead fetch`: retrieve instances with several requests at a time, count what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Final, NamedTuple

from app.client.connection import ArchiveClient
from app.client.fetch.download import Downloader, DownloadFailed
from app.client.fetch.targets import Target
from app.client.identifiers import Identifier
from app.client.refusals import Refusals, file_count
from app.client.workers import Workers

_END_SECONDS: Final = 2.0


@dataclass(kw_only=True)
class FetchReport:
    """What a run did. Sizes are in bytes, times in seconds."""

    place: str
    fetched: int = 0
    present: int = 0
    """Files that were there already."""
    refusals: Refusals = field(default_factory=Refusals)
    bytes_received: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    error: str = ""
    """Why the run ended early."""

    @property
    def refused(self) -> int:
        return self.refusals.count

    @property
    def files(self) -> int:
        """The number of instances that are dealt with."""
        return self.fetched + self.present + self.refused

    def lines(self) -> Iterator[str]:
        """Yield the summary for people."""
        rate = self.bytes_received / max(self.seconds, 0.001) / 1e6
        size = f" ({self.bytes_received / 1e6:,.1f} MB in {self.seconds:.1f} s, {rate:,.1f} MB/s)"
        yield f"Fetched {file_count(self.fetched)} into {self.place}" + (size if self.fetched else "") + "."
        if self.present:
            yield f"{file_count(self.present)} there already"
        if self.refused:
            yield f"{file_count(self.refused)} not fetched:"
            yield from self.refusals.lines()

    def document(self) -> dict[str, Any]:
        """Return the summary as a JSON object."""
        return {
            "place": self.place,
            "files": self.files,
            "fetched": self.fetched,
            "present": self.present,
            "refused": self.refused,
            "refusals": self.refusals.documents(),
            "bytesReceived": self.bytes_received,
            "seconds": round(self.seconds, 3),
            "interrupted": self.interrupted,
            **({"error": self.error} if self.error else {}),
        }


class _Fetched(NamedTuple):
    """What became of an instance. `size` is None if it was there; `reason` says why it could not be retrieved."""

    instance: Identifier
    size: int | None = None
    content: IO[bytes] | None = None
    reason: str = ""


class FetchRun:
    """Retrieves instances with `jobs` requests at a time. `shown` is called after each, with the report."""

    def __init__(
        self,
        client: ArchiveClient,
        target: Target,
        report: FetchReport,
        *,
        transfer_syntax: str,
        jobs: int,
        shown: Callable[[FetchReport], None],
    ) -> None:
        self.report = report
        self._target = target
        self._shown = shown
        self._workers: Workers[Identifier, _Fetched] = Workers(self._fetch, jobs)
        self._downloader = Downloader(client, transfer_syntax, self._workers.stopped)

    def run(self, instances: Iterable[Identifier]) -> None:
        """Retrieve the instances. Ctrl-C ends the run; the report then says so. Raises a `ClientError`."""
        started = time.monotonic()
        try:
            for fetched in self._workers.results(instances):
                self._note(fetched)
        except KeyboardInterrupt:
            self.report.interrupted = True
        finally:
            self._workers.stop()
            for fetched in self._workers.last_results(_END_SECONDS):
                self._note(fetched)
            self.report.seconds = time.monotonic() - started

    def _fetch(self, instance: Identifier) -> _Fetched:
        try:
            found = self._target.fetch(self._downloader, instance)
        except DownloadFailed as error:
            return _Fetched(instance, reason=str(error))
        return _Fetched(instance, *found) if found else _Fetched(instance)

    def _note(self, fetched: _Fetched) -> None:
        if fetched.reason:
            self.report.refusals.add(str(fetched.instance), fetched.reason)
        elif fetched.size is None:
            self.report.present += 1
        else:
            if fetched.content:
                self._target.keep(fetched.instance, fetched.content)
            self.report.fetched += 1
            self.report.bytes_received += fetched.size
        self._shown(self.report)
