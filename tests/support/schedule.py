"""Operations that take turns. Each has a thread, but only one of them runs at a time, up to its next call to a port.

The test chooses which operation continues. So it can produce every interleaving, and the same one again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Choose = Callable[[Sequence[str]], str]
"""Returns the name of the operation that continues, from the names of those that have not ended."""


@dataclass(slots=True)
class _Turn:
    """One operation. `go` lets it run. It releases `stopped` when it stops again."""

    operation: Callable[[], Any]
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    stopped: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    ended: bool = False
    outcome: Any = None


class Schedule:
    """Runs operations in turns. The test sets `pause` as the hook of the ports; in other threads it does nothing."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self._turns: dict[threading.Thread, _Turn] = {}

    def run(self, operations: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
        """Run the operations to their ends; the result of each, or the exception that it raised."""
        turns = {name: _Turn(operation) for name, operation in operations.items()}
        for turn in turns.values():
            thread = threading.Thread(target=self._run, args=(turn,), daemon=True)
            self._turns[thread] = turn
            thread.start()
        while waiting := [name for name, turn in turns.items() if not turn.ended]:
            turn = turns[self._choose(waiting)]
            turn.go.release()
            assert turn.stopped.acquire(timeout=60), "an operation does not stop"
        return {name: turn.outcome for name, turn in turns.items()}

    def pause(self, call: str) -> None:
        """Stop before a call of one of the operations. The stage after a call is the stage before the next one."""
        turn = self._turns.get(threading.current_thread())
        if turn and not call.endswith(" done"):
            turn.stopped.release()
            turn.go.acquire()

    def _run(self, turn: _Turn) -> None:
        turn.go.acquire()
        try:
            turn.outcome = turn.operation()
        except Exception as error:  # noqa: BLE001  # the test checks it
            turn.outcome = error
        finally:
            turn.ended = True
            turn.stopped.release()
