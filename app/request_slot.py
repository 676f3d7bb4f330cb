"""The work slot of the request that a thread answers. Few requests of a process have one at the same time.

A thread that waits for long gives its slot to another request meanwhile. It must not wait for the data store like this:
the slots also limit how many requests use the store at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import local
from typing import Protocol


class RequestSlot(Protocol):
    """A slot that can be given away for some time."""

    def give_away(self) -> None:
        """Let another request work."""
        ...

    def resume(self) -> None:
        """Wait for a slot."""
        ...


class _Thread(local):
    """What belongs to one thread. Threads that help it have no slot, so they never give its slot away."""

    slot: RequestSlot | None = None


_thread = _Thread()


def set_slot(slot: RequestSlot | None) -> None:
    """Say which slot this thread has. None: the request is answered."""
    _thread.slot = slot


@contextmanager
def given_away() -> Iterator[None]:
    """Give the slot of this thread to another request until the block ends. Without a slot nothing happens.

    The end of the block may wait for a slot. The caller must hold no lock that other requests need at once.
    """
    slot = _thread.slot
    if slot is None:
        yield
        return
    slot.give_away()
    try:
        yield
    finally:
        slot.resume()
