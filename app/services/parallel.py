"""Calls on several threads, for work that waits for a disk or for S3. Threads do not speed up work of the processor.

The threads work within the deadline of the request that calls them (`storage/table/deadline.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, wait
from functools import cache
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from app.storage.table.threads import ContextThreads

MAX_THREADS: Final = 12
"""Calls of one process that run at the same time."""

PREFETCHED: Final = 4
"""Results that `prefetch` asks for before its caller needs them."""

T = TypeVar("T")
R = TypeVar("R")


class ParallelMap(Protocol):
    """A function like `map`, perhaps on several threads. Results are in order. An error is raised at its result."""

    def __call__(self, call: Callable[[T], R], items: Iterable[T], /) -> Iterable[R]: ...


def parallel_map(call: Callable[[T], R], items: Iterable[T], /) -> Iterable[R]:
    """Apply `call` to each item, several at a time; all results are held in memory.

    A single item is processed on the caller's thread. `call` must not use `parallel_map` itself: if all threads wait
    for others, no thread is left to do the work.

    When a call fails, or when the caller takes no more results, the calls that have not begun are cancelled. Those that
    run end first, because the caller may close what they use.
    """
    todo = list(items)
    if len(todo) < 2:
        return map(call, todo)
    threads = _pool()
    return _results(deque(threads.submit(call, item) for item in todo))


def _results(remaining: deque[Future[R]]) -> Iterator[R]:
    try:
        while remaining:
            yield remaining.popleft().result()
    finally:
        for each in remaining:
            each.cancel()
        wait(remaining)


def prefetch(
    call: Callable[[T], R],
    items: Iterable[T],
    /,
    *,
    ahead: int = PREFETCHED,
    pool: Callable[[], ContextThreads] | None = None,
) -> Generator[R, None, None]:
    """Yield the result of `call` for each item in order, while the next calls run, `ahead` at most.

    A result is often an open stream. Results that the caller does not take are closed when the iterator is closed. The
    calls run on the threads of `pool`, None for those that wait for the store.
    """
    threads = (pool or _pool)()
    remaining = iter(items)
    running = deque(threads.submit(call, item) for item in islice(remaining, ahead))
    try:
        while running:
            result = running.popleft().result()
            running.extend(threads.submit(call, item) for item in islice(remaining, 1))
            yield result
            del result  # the caller has it: it is not kept while the next one is awaited
    finally:
        for each in running:
            if not each.cancel():
                each.add_done_callback(_close)


def _close(finished: Future[Any]) -> None:
    if finished.exception() is None and hasattr(finished.result(), "close"):
        finished.result().close()


@cache  # made at the first use, because threads do not survive the fork of a server process
def _pool() -> ContextThreads:
    return ContextThreads(MAX_THREADS, thread_name_prefix="parallel")
