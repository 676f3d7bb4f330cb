"""Operations that take turns: each runs in a thread of its own, but only one at a time, and hands over where it calls a
port. Who goes on is chosen by the test, so that every interleaving can be had, and had again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Choose = Callable[[Sequence[str]], str]
"""Picks who goes on, of the names of those who can."""


@dataclass(slots=True)
class _Turn:
    """One operation: `go` lets it run, `parked` says that it has stopped again."""

    operation: Callable[[], Any]
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    parked: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    ended: bool = False
    outcome: Any = None


class Schedule:
    """Runs operations by turns. `pause` is the hook to give to what they call; elsewhere it does nothing."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self._turns: dict[threading.Thread, _Turn] = {}

    def run(self, operations: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
        """Run the operations to their ends; return what each returned, or the exception it raised."""
        turns = {name: _Turn(operation) for name, operation in operations.items()}
        for turn in turns.values():
            thread = threading.Thread(target=self._live, args=(turn,), daemon=True)
            self._turns[thread] = turn
            thread.start()
        while waiting := [name for name, turn in turns.items() if not turn.ended]:
            turn = turns[self._choose(waiting)]
            turn.go.release()
            assert turn.parked.acquire(timeout=60), "an operation hangs"
        return {name: turn.outcome for name, turn in turns.items()}

    def pause(self, call: str) -> None:
        """Hand over before a call, if one of the operations makes it; after one is before the next."""
        turn = self._turns.get(threading.current_thread())
        if turn and not call.endswith(" done"):
            turn.parked.release()
            turn.go.acquire()

    def _live(self, turn: _Turn) -> None:
        turn.go.acquire()
        try:
            turn.outcome = turn.operation()
        except Exception as error:  # noqa: BLE001  # the test looks at it
            turn.outcome = error
        finally:
            turn.ended = True
            turn.parked.release()
