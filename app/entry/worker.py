"""Background work: the steps that services offer, one after another, until told to stop.

Each step is safe to repeat and keeps its own checkpoint, so a worker may be killed at any point and several may run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from app import bootstrap
from app.settings import Settings

SHORTEST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 2.0
"""Seconds between looks when there was nothing to do; each empty look doubles the pause."""

LISTENING_SECONDS: Final = 2.0
"""How long an idle worker listens for an announcement before it looks elsewhere, and whether it is told to stop."""

log = structlog.get_logger(__name__)

Step = Callable[[], bool]
"""Does one piece of background work if there is any; says whether there was."""


def run(settings: Settings, stop: threading.Event) -> None:
    """Work until `stop` is set; the steps under way are finished first.

    Each step has a thread of its own, so that a long one does not keep the others waiting.
    """
    services = bootstrap.build_services(settings, bootstrap.build_engine(settings), listening=LISTENING_SECONDS)
    log.info("worker_started", engine=settings.engine)
    loops = [threading.Thread(target=work, args=((step,), stop)) for step in services.background]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    services.release_leases()
    log.info("worker_stopped")


def work(steps: Sequence[Step], stop: threading.Event) -> None:
    """Take each step in turn, again and again, until `stop` is set; rest while none finds anything to do.

    A step that listens has rested while it did.
    """
    pause = SHORTEST_PAUSE
    while not stop.is_set():
        started = time.monotonic()
        found = [_take(step) for step in steps if not stop.is_set()]
        if any(found):
            pause = SHORTEST_PAUSE
            continue
        stop.wait(max(0, started + pause - time.monotonic()))
        pause = min(2 * pause, LONGEST_PAUSE)


def _take(step: Step) -> bool:
    try:
        return step()
    except Exception:
        # The loop outlives any fault of a step: the step is tried again after a rest.
        log.exception("background_step_failed", step=getattr(step, "__qualname__", repr(step)))
        return False
