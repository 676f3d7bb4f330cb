"""Connections that wait in the poller: how long, and which is closed first to make room."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from app.entry.waiting_connections import Wait, WaitingConnections

NEVER = dict.fromkeys(Wait, 1000.0)


@dataclass(eq=False)
class Connection:
    """A connection as gunicorn has it, and its other end."""

    sock: socket.socket
    client: socket.socket


@pytest.fixture
def poller() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as selector:
        yield selector


@pytest.fixture
def connections() -> Iterator[list[Connection]]:
    pairs = [socket.socketpair() for _ in range(3)]
    yield [Connection(sock=ours, client=theirs) for ours, theirs in pairs]
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


def ready(poller: selectors.BaseSelector) -> None:
    for key, _ in poller.select(1):
        key.data(key.fileobj)


def test_what_a_client_sends_is_told_with_what_its_connection_waits_for(
    poller: selectors.BaseSelector, connections: list[Connection]
) -> None:
    told: list[tuple[object, Wait]] = []
    waiting = WaitingConnections(poller, NEVER, lambda *call: told.append(call))
    connection = connections[0]
    waiting.add(connection, Wait.REQUEST)
    connection.client.send(b"a")
    ready(poller)
    waiting.change(connection, Wait.REQUEST, Wait.HEAD)
    ready(poller)
    waiting.remove(connection, Wait.HEAD)
    assert told == [(connection, Wait.REQUEST), (connection, Wait.HEAD)]
    assert not poller.get_map()


def test_connections_expire_by_what_they_wait_for(
    poller: selectors.BaseSelector, connections: list[Connection]
) -> None:
    seconds = {Wait.REQUEST: 1000.0, Wait.HEAD: 0.0, Wait.END: 1000.0}
    waiting = WaitingConnections(poller, seconds, lambda *_: None)
    waiting.add(connections[0], Wait.REQUEST)
    waiting.add(connections[1], Wait.HEAD)
    assert list(waiting.expired()) == [(connections[1], Wait.HEAD)]
    waiting.change(connections[0], Wait.REQUEST, Wait.HEAD)
    assert list(waiting.expired()) == [(connections[0], Wait.HEAD)]
    assert not poller.get_map()


def test_after_a_stop_nothing_waits_longer(poller: selectors.BaseSelector, connections: list[Connection]) -> None:
    waiting = WaitingConnections(poller, NEVER, lambda *_: None)
    waiting.add(connections[0], Wait.REQUEST)
    waiting.add(connections[1], Wait.HEAD)
    assert not list(waiting.expired())
    waiting.stop(0.0)
    waiting.add(connections[2], Wait.REQUEST)
    assert {connection.sock for connection, _ in waiting.expired()} == {each.sock for each in connections}


def test_the_connection_that_is_idle_longest_makes_room(
    poller: selectors.BaseSelector, connections: list[Connection]
) -> None:
    waiting = WaitingConnections(poller, NEVER, lambda *_: None)
    waiting.add(connections[0], Wait.HEAD)
    waiting.add(connections[1], Wait.REQUEST)
    waiting.add(connections[2], Wait.REQUEST)
    assert [waiting.evict() for _ in range(4)] == [connections[1], connections[2], connections[0], None]
    assert not poller.get_map()
