"""The progress of a long command."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from app.entry import terminal_progress
from app.entry.client_commands.progress import ShownProgress
from tests.support.waiting import wait_until


def shown(console: Console, *, quiet: bool = False) -> str:
    with ShownProgress(console, "Storing", [40, 60], quiet=quiet) as each:
        if not quiet:
            wait_until(lambda: each._total is not None)
        each.show(25, files=3, size=2_000_000, failed=1)
        each.show(50, files=6, size=4_000_000, failed=1)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def console() -> Callable[[bool], Console]:
    return lambda terminal: Console(file=io.StringIO(), force_terminal=terminal, width=120, soft_wrap=True)


def test_a_terminal_has_a_bar(console: Callable[[bool], Console]) -> None:
    text = shown(console(True))
    assert "Storing" in text
    assert "50%" in text
    assert "6 files, 4.0 MB" in text
    assert "1 failed" in text


def test_a_file_has_a_line_now_and_then(console: Callable[[bool], Console], monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(console(False)) == ""
    monkeypatch.setattr(terminal_progress, "_LINE_SECONDS", 0.0)
    first, second = shown(console(False)).splitlines()
    assert first.startswith("Storing: 3 files, 2.0 MB, ")
    assert second.endswith("s left")


def test_quiet_shows_nothing(console: Callable[[bool], Console], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal_progress, "_LINE_SECONDS", 0.0)
    assert shown(console(False), quiet=True) == shown(console(True), quiet=True) == ""
