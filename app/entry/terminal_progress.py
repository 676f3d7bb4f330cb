"""Progress of a long command, on standard error: a bar on a terminal, otherwise a line now and then."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn, TaskID

_LINE_SECONDS: Final = 10.0


class TerminalProgress:
    """Shows what is being done and how much of it is done. With `quiet` it shows nothing.

    `columns` are those of the bar. They may use the field `said`.
    """

    def __init__(self, console: Console, columns: Sequence[ProgressColumn], doing: str = "", *, quiet: bool) -> None:
        self._console = console
        self._columns = columns
        self._doing = doing
        self._quiet = quiet
        self._started = self._last_line = time.monotonic()
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._quiet:
            self._bar = Progress(*self._columns, console=self._console, transient=True, refresh_per_second=5)
            self._task = self._bar.add_task(self._doing, total=None, said="")
            self._bar.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def _begin(self, doing: str) -> None:
        """Show another part of the work from now on."""
        self._doing, self._started = doing, time.monotonic()
        if self._bar:
            self._bar.remove_task(self._task)
            self._task = self._bar.add_task(doing, total=None, said="")

    def _show(self, said: str, done: int, total: int | None, time_left: str = "") -> None:
        """Show how much is done, as a text and as a part of `total`. `time_left` is for the lines without a bar."""
        if self._bar:
            self._bar.update(self._task, completed=done, total=total, said=said)
        elif not self._quiet and time.monotonic() - self._last_line >= _LINE_SECONDS:
            self._last_line = time.monotonic()
            self._console.print(f"{self._doing}: {said}{time_left}", markup=False)

    def _rate(self, amount: float) -> float:
        """Return the amount in a second, since the present part of the work began."""
        return amount / max(time.monotonic() - self._started, 0.001)
