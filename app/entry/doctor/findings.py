"""What a check finds, and how checks run: all at the same time, each for a few seconds at most."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDone
from dataclasses import dataclass
from typing import Final

from app.errors import BulkheadError
from app.services.daemon_threads import start_thread
from app.storage.table.deadline import Deadline, within

OK: Final = "ok"
WARNING: Final = "warning"
FAULT: Final = "fault"

SECONDS: Final = 10.0
"""How long all checks together may take."""

_REPEATING_SECONDS: Final = 4.0
"""For how long a check repeats failed calls to the data store."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check. `advice` says what to mend, and is empty if there is nothing."""

    check: str
    status: str
    text: str
    advice: str = ""


Check = Callable[[], Iterable[Finding]]


def findings_of(checks: Mapping[str, Check], seconds: float = SECONDS) -> list[Finding]:
    """Return what the checks find, in their order. A check that does not end in time is a fault."""
    ends = time.monotonic() + seconds
    started = {name: _started(name, check) for name, check in checks.items()}
    return [finding for name, result in started.items() for finding in _ended(name, result, ends)]


def _started(name: str, check: Check) -> Future[list[Finding]]:
    result: Future[list[Finding]] = Future()

    def run() -> None:
        try:
            with within(Deadline(_REPEATING_SECONDS)):
                result.set_result(list(check()))
        except Exception as error:  # noqa: BLE001 - a check that fails is a finding, and ends no other check
            result.set_result([Finding(name, FAULT, _described(error), "Mend what the text names.")])

    if not start_thread(name, run):
        run()
    return result


def _ended(name: str, result: Future[list[Finding]], ends: float) -> list[Finding]:
    try:
        return result.result(max(0.0, ends - time.monotonic()))
    except NotDone:
        text = "The check did not end in time."
        return [Finding(name, FAULT, text, "Look whether the disk, the network or the data store hangs.")]


def _described(error: Exception) -> str:
    """Return the error in one line, with the error behind it. Only the operator sees it."""
    cause = error.__cause__ if isinstance(error, BulkheadError) else None
    text = f"{error} {type(cause).__name__}: {cause}" if cause else str(error) or type(error).__name__
    return " ".join(text.split())
