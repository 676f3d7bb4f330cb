"""Threads that do one piece of work and do not keep the process alive."""

from __future__ import annotations

import threading
from collections.abc import Callable


def start_thread(name: str, act: Callable[[], None]) -> bool:
    """Run `act` in a new thread. Return False if the system gives no thread: then nothing happens."""
    try:
        threading.Thread(target=act, name=name, daemon=True).start()
    except RuntimeError:  # the process, its container or the machine has as many threads as it may have
        return False
    return True
