"""The worker: it runs the background steps of the services until it gets a signal to stop.

Each step is safe to repeat and keeps its own checkpoint. So a worker may be killed at any point, and several workers
may run at the same time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from app import bootstrap, tracing
from app.metrics import STEPS, folder
from app.settings import Settings

SHORTEST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 2.0
"""Seconds between two calls of a step that has nothing to do. Each such call doubles the pause."""

LISTENING_SECONDS: Final = 2.0
"""How long an idle worker waits for a message of the queue. It notices only then that it has to stop."""

log = structlog.get_logger(__name__)

Step = Callable[[], bool]
"""Does one piece of background work if there is any. Returns whether there was any."""


def run(settings: Settings, stop: threading.Event) -> None:
    """Work until `stop` is set. The current steps are finished first.

    Each step has its own thread, so that a long step does not delay the others.
    """
    if settings.traces:
        tracing.start()
    if settings.metrics and settings.metrics_dir:
        folder.join(settings.metrics_dir)
    services = bootstrap.build_services(settings, bootstrap.build_engine(settings), listening=LISTENING_SECONDS)
    services.audit.start()
    log.info("worker started", engine=settings.engine)
    loops = [threading.Thread(target=work, args=((step,), stop)) for step in services.background]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    services.release_leases()
    services.audit.stop()
    log.info("worker stopped")


def work(steps: Sequence[Step], stop: threading.Event) -> None:
    """Run the steps one after another until `stop` is set. Pause when none of them had anything to do.

    The time that a step spends waiting for a message counts as part of the pause.
    """
    pause = SHORTEST_PAUSE
    while not stop.is_set():
        started = time.monotonic()
        found = [_run_step(step) for step in steps if not stop.is_set()]
        if any(found):
            pause = SHORTEST_PAUSE
            continue
        stop.wait(max(0, started + pause - time.monotonic()))
        pause = min(2 * pause, LONGEST_PAUSE)


def _run_step(step: Step) -> bool:
    name = getattr(step, "__qualname__", type(step).__qualname__).rpartition("<locals>.")[2]
    structlog.contextvars.clear_contextvars()
    try:
        found = step()
    except Exception:
        # An error of a step does not end the loop. The step is run again after a pause.
        log.exception("background step failed", step=name)
        STEPS.add(name, "failed")
        return False
    if found:
        STEPS.add(name, "ok")
    return found
