"""Progress of a command that goes through an archive."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from app.entry.terminal_progress import TerminalProgress


class ArchiveProgress(TerminalProgress):
    """Shows what is being done, how much of it is done, at which rate, and the time left."""

    def __init__(self, *, quiet: bool = False) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        super().__init__(Console(stderr=True, soft_wrap=True), columns, quiet=quiet)
        self._first = 0

    def __call__(self, doing: str, done: int, total: int | None) -> None:
        """Show how far a part of the work is. `total` is None while it is not known."""
        if doing != self._doing:
            self._first = done
            self._begin(doing)
        rate = self._rate(done - self._first)
        self._show(f"{done:,}" + (f" of {total:,}" if total else "") + f", {rate:,.0f} a second", done, total)
