"""Progress of a command that stores or fetches files."""

from __future__ import annotations

import time
from collections.abc import Iterable
from threading import Thread
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from app.entry.terminal_progress import TerminalProgress


class ShownProgress(TerminalProgress):
    """Shows how much is done, at which rate, and the time left. With `quiet` it shows nothing.

    `amounts` are what there is to do, in bytes or in files. They are added up in a thread of their own; until then the
    end is not known.
    """

    def __init__(self, console: Console, doing: str, amounts: Iterable[int] = (), *, quiet: bool = False) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(),
        )
        super().__init__(console, columns, doing, quiet=quiet)
        self._amounts = amounts
        self._total: int | None = None

    def __enter__(self) -> Self:
        super().__enter__()
        if not self._quiet:
            Thread(target=self._add_up, daemon=True).start()
        return self

    def show(self, done: int, *, files: int, size: int, failed: int = 0) -> None:
        """Show what is done: the part of the amounts, the files, their bytes, and how many of the files failed."""
        rate = self._rate(size) / 1e6
        said = f"{files:,} files, {size / 1e6:,.1f} MB, {rate:,.1f} MB/s" + (f", {failed:,} failed" if failed else "")
        self._show(said, done, self._total, self._time_left(done))

    def _time_left(self, done: int) -> str:
        if self._total is None or not done:
            return ""
        seconds = (time.monotonic() - self._started) * max(self._total - done, 0) / done
        return f", about {seconds:,.0f} s left"

    def _add_up(self) -> None:
        self._total = sum(self._amounts) or None
