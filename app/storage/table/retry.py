"""How a write is repeated after a conflict with another writer. This is the only loop of this kind in the project."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from app.errors import Conflict, StorageUnavailable
from app.metrics import RETRIES
from app.storage.table import deadline

T = TypeVar("T")


class RetriesExhausted(StorageUnavailable):
    """Every attempt failed. `__cause__` is the error of the last one."""


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def _always(_: object) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Retry:
    """The limits of a repetition: at most `attempts` attempts, and no new one after `seconds` seconds.

    Between two attempts the caller sleeps for a random time (full jitter). Its upper bound is `first_pause` seconds,
    doubles with each attempt and never exceeds `longest_pause`. So writers that conflicted once seldom conflict again.

    The repetition also ends when the request has waited for the data store as long as it may (`deadline.py`).
    """

    attempts: int = 20
    seconds: float = 20.0
    first_pause: float = 0.004
    longest_pause: float = 0.25
    sleep: Callable[[float], None] = _sleep
    monotonic: Callable[[], float] = time.monotonic

    def run(self, act: Callable[[], T], *, on: type[Exception] = Conflict, when: Callable[[Any], bool] = _always) -> T:
        """Return the result of the first call of `act` that does not raise `on`.

        Each call of `act` reads what it needs anew: what an earlier call read is out of date. `when` returns whether
        another attempt makes sense after an error. If not, that error is raised, as is every error of another class.

        Raises `RetriesExhausted` when the attempts or the seconds are used up, `deadline.DeadlinePassed` when the time
        of the request is over.
        """
        end = self.monotonic() + self.seconds
        attempt = 0
        while True:
            try:
                return act()
            except on as error:
                if not when(error):
                    raise
                attempt += 1
                pause = random.uniform(0, min(self.longest_pause, self.first_pause * 2.0 ** (attempt - 1)))  # noqa: S311 - jitter
                if attempt >= self.attempts or self.monotonic() + pause >= end:
                    raise RetriesExhausted from error
                if pause >= deadline.seconds_left():
                    raise deadline.DeadlinePassed from error
                RETRIES.add(type(error).__name__)
            self.sleep(pause)


RETRY: Final = Retry()
"""What a write of a few items needs: about two seconds under constant conflict."""


def retry(act: Callable[[], T], *, when: Callable[[Conflict], bool] = _always) -> T:
    """Repeat `act` while it raises `Conflict`, within the usual limits (`RETRY`)."""
    return RETRY.run(act, on=Conflict, when=when)
