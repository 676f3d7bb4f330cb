"""The numbers of connections that server processes share, and the server whose processes share its connections."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from math import inf
from typing import Any, cast

import pytest

from app.entry import connection_counts, sharing_worker
from app.entry.connection_counts import RECENT_SECONDS, ConnectionCounts
from app.entry.keepalive import KeepAliveWorker
from app.entry.sharing_worker import LEAVE_SECONDS

STOPPED_SECONDS = 60
"""How long a client waits for an answer at most. A server that waits for its stopped process never answers."""


class Clock:
    """A clock that tests set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(connection_counts, "monotonic", clock)
    return clock


def test_the_least_number_is_that_of_a_process_that_accepts_connections() -> None:
    counts = ConnectionCounts()
    assert counts.least() == inf
    counts.publish(1, 5)
    counts.publish(2, 3)
    assert counts.least() == 3
    counts.publish(2, 9)
    assert counts.least() == 5
    counts.withdraw(1)
    assert counts.least() == 9


def test_the_number_of_a_process_that_is_stuck_or_dead_is_ignored_after_a_while(clock: Clock) -> None:
    counts = ConnectionCounts()
    counts.publish(1, 0)
    clock.now += RECENT_SECONDS
    counts.publish(2, 7)
    assert counts.least() == 7


def test_a_process_that_was_started_often_has_a_place() -> None:
    counts = ConnectionCounts()
    counts.publish(1_000_003, 4)
    assert counts.least() == 4


def test_a_forked_process_shares_the_numbers() -> None:
    counts = ConnectionCounts()
    child = os.fork()
    if not child:
        counts.publish(1, 4)
        os._exit(0)
    os.waitpid(child, 0)
    assert counts.least() == 4


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def worker(listener: socket.socket, connections: int, accepted: list[socket.socket]) -> KeepAliveWorker:
    """Return a process with so many connections. It appends the listener to `accepted` when it accepts one more."""
    worker: Any = KeepAliveWorker.__new__(KeepAliveWorker)
    worker.age = 1
    worker.nr_conns = connections
    worker.counts = ConnectionCounts()
    worker.poller = selectors.SelectSelector()
    worker.sockets = [listener]
    worker._accepting = False
    worker.accept_now = accepted.append
    worker.set_accept_enabled(True)
    worker.publish()
    return cast("KeepAliveWorker", worker)


def test_a_process_with_two_connections_more_than_another_leaves_a_new_one_to_it_for_a_while(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(sharing_worker, "monotonic", clock)
    accepted: list[socket.socket] = []
    busier = worker(listener, 2, accepted)
    busier.counts.publish(2, 0)
    busier.accept(listener)
    busier.set_accept_enabled(True)
    assert not accepted
    assert not busier.poller.get_map()
    clock.now += LEAVE_SECONDS
    busier.set_accept_enabled(True)
    assert accepted == [listener]
    assert list(busier.poller.get_map()) == [listener.fileno()]


@pytest.mark.parametrize("others", [1, 2, 3])
def test_a_process_accepts_a_connection_if_no_other_has_two_fewer(listener: socket.socket, others: int) -> None:
    accepted: list[socket.socket] = []
    process = worker(listener, 2, accepted)
    process.counts.publish(2, others)
    process.accept(listener)
    assert accepted == [listener]


def test_two_processes_do_not_leave_a_connection_to_each_other(listener: socket.socket) -> None:
    accepted: list[socket.socket] = []
    first, second = worker(listener, 2, accepted), worker(listener, 0, accepted)
    second.counts, second.age = first.counts, 2
    second.publish()
    first.accept(listener)
    first.nr_conns = 0  # its clients close their connections while it leaves new ones to the second process
    second.nr_conns = 2
    first.publish()
    second.publish()
    second.accept(listener)
    assert accepted == [listener]


def test_a_process_that_stops_is_not_waited_for(listener: socket.socket) -> None:
    process = worker(listener, 0, [])
    process.set_accept_enabled(False)
    assert process.counts.least() == inf


class Clients:
    """Clients that keep their connections to one server open."""

    def __init__(self, port: int, opened: ExitStack) -> None:
        self._port = port
        self._opened = opened

    def connect(self, number: int) -> Counter[int]:
        """Open connections one after another. Return how many each process answers on."""
        answers: Counter[int] = Counter()
        for _ in range(number):
            connection = HTTPConnection("127.0.0.1", self._port, timeout=STOPPED_SECONDS)
            self._opened.callback(connection.close)
            connection.request("GET", "/process")
            answers[int(connection.getresponse().read())] += 1
        return answers


@pytest.fixture
def clients() -> Iterator[Clients]:
    """Clients of a server with two processes."""
    command = [sys.executable, "-m", "tests.support.bare_application", "2", "100", os.devnull, "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, ExitStack() as opened:
        opened.callback(server.terminate)
        assert server.stdout is not None
        ports = [int(server.stdout.readline()) for _ in range(2)]
        yield Clients(ports[0], opened)


def test_connections_are_even_again_after_one_process_was_stopped(clients: Clients) -> None:
    """The other process answers while it is stopped."""
    stopped = next(iter(clients.connect(1)))
    os.kill(stopped, signal.SIGSTOP)
    try:
        during = clients.connect(21)
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert stopped not in during
    total = during + clients.connect(58)
    assert total[stopped] == pytest.approx(40, abs=4)
