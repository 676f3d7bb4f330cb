"""Threads that do one piece of work, and what happens when the system gives none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread

import pytest

from app import bootstrap
from app.errors import StorageUnavailable
from app.services.backlog import Backlog
from app.services.daemon_threads import start_thread
from app.storage.feed.change_feed import FeedLog
from app.storage.feed.log import CommitLog
from app.storage.table.threads import ContextThreads
from tests.unit.services.test_health_report import Backends

ONE_ENGINE = pytest.mark.parametrize("settings", ["embedded"], indirect=True)


@contextmanager
def no_threads() -> Iterator[None]:
    """Let the system give no thread."""

    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield


def test_the_thread_does_not_keep_the_process_alive() -> None:
    threads = SimpleQueue[Thread]()
    assert start_thread("a name", lambda: threads.put(threading.current_thread()))
    thread = threads.get(timeout=60)
    assert (thread.name, thread.daemon) == ("a name", True)


def test_without_a_thread_nothing_runs() -> None:
    with no_threads():
        assert not start_thread("a name", lambda: None)


def test_a_pool_without_threads_is_an_outage() -> None:
    pool = ContextThreads(1)
    with no_threads(), pytest.raises(StorageUnavailable):
        pool.submit(lambda: None)
    assert pool.submit(lambda: 1).result(60) == 1


def test_health_checks_without_a_thread_are_made_by_a_later_probe() -> None:
    backends = Backends()
    with no_threads():
        assert backends.report.current().overall == "Unhealthy"
        assert not backends.report.is_ready()
    assert backends.report.current().overall == "Healthy"
    assert backends.report.is_ready()


@ONE_ENGINE
def test_a_backlog_without_a_thread_is_read_by_a_later_caller(engine: bootstrap.Engine) -> None:
    backlog = Backlog(engine.table, FeedLog(engine.table, CommitLog(engine.table)))
    with no_threads():
        assert backlog.current() is None
    assert backlog.current() is not None
