"""The socket of a client: when a request has a slot, and how slow a client may be."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from app.entry import client_rate, client_socket
from app.entry.client_rate import ClientRate
from app.entry.client_socket import ClientSocket
from app.entry.silence import limit_silence
from app.entry.work_slots import WorkSlots

LARGE = bytes(range(256)) * 40_000
STEP = 0.02


class Ends(NamedTuple):
    """Both ends of a connection."""

    server: ClientSocket
    client: socket.socket


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A connection whose kernel buffers are smaller than `LARGE`."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        limit_silence(listener, STEP)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(listener.getsockname())
        with ClientSocket(listener.accept()[0]) as server:
            yield Ends(server, client)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def read(client: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        received += client.recv(1 << 20)
    return bytes(received)


def is_free(slots: WorkSlots, seconds: float = 0.0) -> bool:
    """Return whether another request can get a slot. It gives it back."""
    if not slots.begin(seconds):
        return False
    slots.give()
    return True


def test_accepted_connections_have_the_limits_of_their_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        limit_silence(listener, 2.5, 7)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                waits = accepted.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("ll"))
                seconds, microseconds = struct.unpack("ll", waits)
                assert (seconds, round(microseconds, -5)) == (2, 500_000)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000


@pytest.mark.parametrize("sends", ["sendall", "send", "sendfile"])
def test_a_slow_reader_gets_everything_and_holds_no_slot(
    ends: Ends, pool: ThreadPoolExecutor, tmp_path: Path, sends: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"head" + LARGE)
    slots = WorkSlots(1, queue=1)

    def answer() -> bool:
        assert ends.server.begin(slots)
        if sends == "sendfile":
            with file.open("rb") as opened:
                ends.server.sendfile(opened, 4, len(LARGE))
        else:
            getattr(ends.server, sends)(LARGE)
        has_slot = not is_free(slots)
        ends.server.end()
        return has_slot

    answered = pool.submit(answer)
    start = read(ends.client, 1)
    assert is_free(slots, 60)
    assert start + read(ends.client, len(LARGE) - len(start)) == LARGE
    assert answered.result(60)
    assert is_free(slots)


def test_a_file_that_is_too_short_breaks_the_answer(ends: Ends, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    with file.open("rb") as opened:
        assert ends.server.sendfile(opened) == 5
        with pytest.raises(OSError, match="ends before"):
            ends.server.sendfile(opened, 0, 6)


def has_bytes(end: socket.socket, seconds: float = 0.0) -> bool:
    """Return whether an end can receive something, or its end. `select` takes no descriptor above 1,023."""
    poll = select.poll()
    poll.register(end, select.POLLIN)
    return bool(poll.poll(1000 * seconds))


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_the_head_of_an_answer_is_sent_with_its_body(ends: Ends, size: int) -> None:
    ends.server.hold_head()
    ends.server.sendall(b"head")
    assert not has_bytes(ends.client)
    ends.server.sendall(b"a" * size)
    assert read(ends.client, 4 + size) == b"head" + b"a" * size


def test_the_head_of_an_answer_is_sent_with_a_file(ends: Ends, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    ends.server.hold_head()
    ends.server.sendall(b"head")
    with file.open("rb") as opened:
        ends.server.sendfile(opened)
    assert read(ends.client, 9) == b"head12345"


def test_the_head_of_an_answer_is_sent_before_the_service_waits_for_the_client(
    ends: Ends, pool: ThreadPoolExecutor
) -> None:
    ends.server.hold_head()
    ends.server.sendall(b"head")
    received = pool.submit(ends.server.recv, 10)
    assert read(ends.client, 4) == b"head"
    ends.client.sendall(b"rest of the request")
    assert received.result(60) == b"rest of th"


def test_a_head_without_a_body_is_sent_at_the_end(ends: Ends) -> None:
    ends.server.hold_head()
    ends.server.send(b"continue")
    ends.server.sendall(b"head")
    ends.server.flush()
    ends.server.flush()
    assert read(ends.client, 12) == b"continuehead"


def test_a_request_that_waits_for_its_body_holds_no_slot(ends: Ends, pool: ThreadPoolExecutor) -> None:
    slots = WorkSlots(1, queue=1)
    assert ends.server.begin(slots)
    ends.client.sendall(b"a")
    assert has_bytes(ends.server, 60)
    assert ends.server.recv(10) == b"a"
    assert not is_free(slots)  # what is there costs no slot
    received = pool.submit(ends.server.recv, 10)
    assert is_free(slots, 60)
    ends.client.sendall(b"b")
    assert received.result(60) == b"b"
    assert is_free(slots)
    ends.server.resume()
    assert not is_free(slots)
    ends.server.end()
    assert is_free(slots)


def test_bytes_that_are_all_here_cost_no_slot(ends: Ends, pool: ThreadPoolExecutor) -> None:
    slots = WorkSlots(1, queue=1)
    assert ends.server.begin(slots)
    ends.client.sendall(b"abcdef")
    assert ends.server.receive(4) == b"abcd"
    assert not is_free(slots)
    ends.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 10, 0))
    received = pool.submit(ends.server.receive, 8)
    assert is_free(slots, 10)
    ends.client.sendall(b"gh")
    ends.client.sendall(b"ijklm")
    assert received.result(10) == b"efghijkl"
    assert ends.server.receive(1) == b"m"


def test_a_body_that_stops_is_received_as_far_as_it_came(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    ends.client.sendall(b"abc")
    assert ends.server.receive(10) == b"abc"
    monkeypatch.setattr(client_socket, "SILENT_SECONDS", 0.05)
    with pytest.raises(TimeoutError, match="nothing"):
        ends.server.receive(10)
    ends.client.sendall(b"de")
    ends.client.close()
    assert [ends.server.receive(10), ends.server.receive(10)] == [b"de", b""]


def test_a_request_that_worked_for_long_lets_others_work(
    ends: Ends, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_socket, "TURN_SECONDS", 0.0)
    slots = WorkSlots(1, queue=1)
    assert ends.server.begin(slots)
    other = pool.submit(is_free, slots, 60)
    while not other.done():
        ends.server.resume()
    assert other.result()
    assert not is_free(slots)


@pytest.mark.parametrize("pause", [0.01, 10.0])
def test_a_request_waits_only_shortly_for_a_body_after_its_answer(
    ends: Ends, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    """A caller without credentials gets its answer before its body is read. It must not hold the thread."""
    monkeypatch.setattr(client_socket, "ANSWERED_SECONDS", 0.05)
    assert ends.server.begin(WorkSlots(1, queue=1))
    ends.server.hold_head()
    received = pool.submit(ends.server.recv, 10)
    with pytest.raises(TimeoutError):
        received.result(0.2)  # before the answer it waits
    ends.client.sendall(b"a")
    assert received.result(60) == b"a"
    ends.server.sendall(b"head ")
    ends.server.sendall(b"body")
    assert read(ends.client, 9) == b"head body"
    end = threading.Event()

    def send_slowly() -> None:
        while not end.wait(pause):
            ends.client.sendall(b"a")

    sender = pool.submit(send_slowly)
    with pytest.raises(TimeoutError, match="after the answer"):
        while True:
            ends.server.recv(10)
    end.set()
    sender.result(60)
    ends.server.end()


def test_what_was_read_ahead_comes_first(ends: Ends) -> None:
    assert ends.server.read_ahead()
    assert ends.server.ahead == b""
    ends.client.sendall(b"first")
    while not ends.server.ahead:
        assert ends.server.read_ahead()
    ends.client.sendall(b"second")
    assert ends.server.recv(1) == b"first"
    assert ends.server.recv(6) == b"second"
    ends.client.close()
    while ends.server.read_ahead():
        pass


def test_bytes_after_the_last_answer_are_thrown_away(ends: Ends) -> None:
    assert ends.server.discard() == -1
    ends.client.sendall(b"more")
    ends.client.close()
    sizes = set()
    while 0 not in sizes:
        sizes.add(ends.server.discard())
    assert sizes <= {4, -1, 0}


def test_a_client_that_resets_the_connection_after_the_last_answer_ends_it(ends: Ends) -> None:
    ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ends.client.close()
    assert has_bytes(ends.server, 60)
    assert ends.server.discard() == 0


def test_a_client_that_sends_nothing_is_given_up(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_socket, "SILENT_SECONDS", 0.05)
    with pytest.raises(TimeoutError, match="nothing"):
        ends.server.recv(10)


def test_a_timeout_of_the_caller_counts_instead(ends: Ends) -> None:
    ends.server.settimeout(0.05)
    assert ends.server.gettimeout() == 0.05
    with pytest.raises(TimeoutError, match="nothing"):
        ends.server.recv(10)


def test_a_client_that_sends_too_slowly_is_given_up(
    ends: Ends, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_rate, "RATE_SECONDS", 0.1)
    monkeypatch.setattr(client_rate, "LEAST_RATE", 100_000)

    def receive() -> None:
        while True:
            ends.server.recv(10)

    received = pool.submit(receive)
    while not received.done():
        ends.client.send(b"a")
        time.sleep(0.01)
    with pytest.raises(TimeoutError, match="slower"):
        received.result()


def test_a_client_that_reads_too_slowly_is_given_up(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_rate, "RATE_SECONDS", 0.1)
    with pytest.raises(TimeoutError, match="slower"):
        ends.server.sendall(LARGE)


def test_the_rate_of_a_client_counts_for_each_minute_of_waiting() -> None:
    rate = ClientRate()
    rate.waited(30, lambda: 0)
    rate.waited(29, lambda: 0)
    rate.waited(1, lambda: 6000)
    rate.waited(59, lambda: 6000)
    rate.waited(1, lambda: 12000)
    rate.waited(59, lambda: 12000)
    with pytest.raises(TimeoutError, match="slower than 100 bytes"):
        rate.waited(1, lambda: 17999)


def test_the_bytes_of_the_first_wait_count() -> None:
    rate = ClientRate()
    rate.waited(59, lambda: 6000, 6000)
    rate.waited(1, lambda: 6000)
    rate.waited(60, lambda: 12000, 6000)
    with pytest.raises(TimeoutError, match="slower than 100 bytes"):
        rate.waited(60, lambda: 17999, 5999)


def test_bytes_that_wait_in_the_kernel_are_not_accepted(ends: Ends) -> None:
    ends.server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    ends.server.sendall(b"a" * 200_000)
    assert 0 <= ends.server._bytes_accepted() < 200_000
    read(ends.client, 200_000)
    while ends.server._bytes_accepted() < 200_000:  # the last acknowledgement may be on its way
        time.sleep(0.01)
