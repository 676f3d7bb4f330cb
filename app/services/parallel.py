"""Many calls side by side: to wait for a disk or for S3 takes threads, not processors."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

MOST: Final = 12
"""Calls of one process that are under way at once."""

AHEAD: Final = 4
"""Streams that `prefetch` opens before they are asked for."""

T = TypeVar("T")
R = TypeVar("R")


class ParallelMap(Protocol):
    """Like `map`, perhaps on several threads: results come in order, and what their calls raise comes with them."""

    def __call__(self, call: Callable[[T], R], items: Iterable[T], /) -> Iterable[R]: ...


def parallel_map(call: Callable[[T], R], items: Iterable[T], /) -> Iterable[R]:
    """Apply `call` to each item, several at a time. One item runs where it is; `call` must not spread in its turn."""
    todo = list(items)
    return map(call, todo) if len(todo) < 2 else _pool().map(call, todo)


def prefetch(call: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
    """Yield the stream that `call` opens for each item, opening the next few meanwhile.

    For stores where opening costs a round trip. Streams opened in vain are closed when the iterator is.
    """
    left = iter(items)
    opening = deque(_pool().submit(call, item) for item in islice(left, AHEAD))
    try:
        while opening:
            stream = opening.popleft().result()
            opening.extend(_pool().submit(call, item) for item in islice(left, 1))
            yield stream
    finally:
        for each in opening:
            if not each.cancel():
                each.add_done_callback(_close)


def _close(opened: Future[Any]) -> None:
    if opened.exception() is None:
        opened.result().close()


@cache  # made on first use: a pool does not survive the fork of a server process
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST, thread_name_prefix="spread")
