"""Progress of a long command, on standard error: a bar on a terminal, otherwise a line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterable
from threading import Thread
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

_LINE_SECONDS: Final = 10.0


class ShownProgress:
    """Shows how much is done, at which rate, and the time left. With `quiet` it shows nothing.

    `amounts` are what there is to do, in bytes or in files. They are added up in a thread of their own; until then the
    end is not known.
    """

    def __init__(self, console: Console, doing: str, amounts: Iterable[int] = (), *, quiet: bool = False) -> None:
        self._console = console
        self._doing = doing
        self._amounts = amounts
        self._quiet = quiet
        self._total: int | None = None
        self._started = self._last_line = time.monotonic()
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> ShownProgress:
        if self._quiet:
            return self
        if self._console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[said]}"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self._console, transient=True, refresh_per_second=5)
            self._task = self._bar.add_task(self._doing, total=None, said="")
            self._bar.start()
        Thread(target=self._add_up, daemon=True).start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, done: int, *, files: int, size: int, failed: int = 0) -> None:
        """Show what is done: the part of the amounts, the files, their bytes, and how many of the files failed."""
        rate = size / max(time.monotonic() - self._started, 0.001) / 1e6
        said = f"{files:,} files, {size / 1e6:,.1f} MB, {rate:,.1f} MB/s" + (f", {failed:,} failed" if failed else "")
        if self._bar:
            self._bar.update(self._task, completed=done, total=self._total, said=said)
        elif not self._quiet and time.monotonic() - self._last_line >= _LINE_SECONDS:
            self._last_line = time.monotonic()
            self._console.print(f"{self._doing}: {said}{self._time_left(done)}", markup=False)

    def _time_left(self, done: int) -> str:
        if self._total is None or not done:
            return ""
        seconds = (time.monotonic() - self._started) * max(self._total - done, 0) / done
        return f", about {seconds:,.0f} s left"

    def _add_up(self) -> None:
        self._total = sum(self._amounts) or None
