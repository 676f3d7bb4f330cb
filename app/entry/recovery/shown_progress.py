"""Progress of a command that goes through an archive, on standard error: a bar on a terminal, otherwise a line now and
then."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_SECONDS: Final = 10.0


class ArchiveProgress:
    """Shows what is being done, how much of it is done, at which rate, and the time left."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, soft_wrap=True)
        self._quiet = quiet
        self._doing = ""
        self._started = self._last_line = time.monotonic()
        self._first = 0
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> ArchiveProgress:
        if self._console.is_terminal and not self._quiet:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[said]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self._console, transient=True, refresh_per_second=5)
            self._task = self._bar.add_task("", total=None, said="")
            self._bar.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, doing: str, done: int, total: int | None) -> None:
        """Show how far a part of the work is. `total` is None while it is not known."""
        if doing != self._doing:
            self._begin(doing, done)
        rate = (done - self._first) / max(time.monotonic() - self._started, 0.001)
        said = f"{done:,}" + (f" of {total:,}" if total else "") + f", {rate:,.0f} a second"
        if self._bar:
            self._bar.update(self._task, description=doing, completed=done, total=total, said=said)
        elif not self._quiet and time.monotonic() - self._last_line >= _LINE_SECONDS:
            self._last_line = time.monotonic()
            self._console.print(f"{doing}: {said}", markup=False)

    def _begin(self, doing: str, done: int) -> None:
        self._doing, self._first, self._started = doing, done, time.monotonic()
        if self._bar:
            self._bar.remove_task(self._task)
            self._task = self._bar.add_task(doing, total=None, said="")
