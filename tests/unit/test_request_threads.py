"""The threads that answer requests."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Event, Thread, current_thread

import pytest

from app.entry.request_threads import RequestThreads
from tests.support.waiting import wait_until

LONG = 60.0


def test_no_more_than_so_many_threads_work() -> None:
    threads = RequestThreads(2)
    end = Event()
    assert threads.start(lambda: end.wait(LONG))
    assert threads.start(lambda: end.wait(LONG))
    assert not threads.start(lambda: None)
    end.set()


def test_the_thread_that_was_busy_last_gets_the_next_work() -> None:
    threads = RequestThreads(8, idle_seconds=LONG)
    ends, names = [Event(), Event()], SimpleQueue[Thread]()

    def work(end: Event) -> None:
        end.wait(LONG)
        names.put(current_thread())

    for end in ends:
        threads.start(lambda end=end: work(end))  # type: ignore[misc]  # a default of a lambda has no type
    for idle, end in enumerate(ends, 1):
        end.set()
        last = names.get(timeout=LONG)
        wait_until(lambda idle=idle: len(threads._idle) == idle)  # type: ignore[misc]  # as above
    threads.start(lambda: names.put(current_thread()))
    assert names.get(timeout=LONG) is last


def test_a_thread_without_work_ends_and_a_new_one_is_started() -> None:
    threads = RequestThreads(1, idle_seconds=0.01)
    done = SimpleQueue[Thread]()
    for _ in range(2):
        assert threads.start(lambda: done.put(current_thread()))
        thread = done.get(timeout=LONG)
        thread.join(LONG)
        assert not thread.is_alive()


def test_a_system_without_threads_refuses_work_and_takes_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads, done = RequestThreads(1), Event()
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refuse)
        assert not threads.start(lambda: None)
    assert threads.start(done.set)
    assert done.wait(LONG)
