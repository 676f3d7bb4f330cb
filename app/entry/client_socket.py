"""The socket of a client. A request gives its work slot away while it waits for the client."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from app.entry.client_rate import ClientRate
from app.entry.silence import SILENT_SECONDS
from app.entry.work_slots import WorkSlots
from app.request_slot import set_slot

if sys.platform == "linux":
    import fcntl
    import termios

ANSWERED_SECONDS: Final = 1.0
"""How long a request waits for the rest of its body after its answer was sent. Then the connection is closed. So
callers without credentials hold no threads with bodies that they do not send."""

TURN_SECONDS: Final = 0.1
"""How long a request keeps its slot while other requests wait for one."""

_AT_ONCE: Final = int(socket.MSG_DONTWAIT)  # operators of the enum would cost microseconds
_MORE_FOLLOWS: Final = int(getattr(socket, "MSG_MORE", 0))
_SMALL_BODY: Final = 16 * 1024
"""Bytes of a body that are copied behind its head."""

_READ_AHEAD: Final = 16 * 1024
_DISCARDED_AT_ONCE: Final = 256 * 1024
_SENT_AT_ONCE: Final = 64 * 1024 * 1024


class ClientSocket(socket.socket):
    """A connection that was accepted from a listener with `limit_silence`.

    Between `begin` and `end` a request has a slot. `sendall` and `recv` first try without waiting. Only if that fails,
    they give the slot away and wait in the kernel. `receive` waits in the kernel for a part of a body, and gives the
    slot away if the part is not here yet. `sendall` takes a slot again. `recv` and `receive` do not: `resume` does it,
    when the whole part of the body is there. TimeoutError tells of a client that is silent or too slow.
    """

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self.ahead = b""
        """Bytes that `read_ahead` received and `recv` did not return yet."""
        self._slots: WorkSlots | None = None
        self._has_slot = False
        self._since = 0.0
        self._limit: float | None = None
        self._holds_head = False
        self._head = b""
        self._is_answered = False
        self._receives_until: float | None = None
        self._bytes_received = 0
        self._bytes_sent = 0
        self._receiving = ClientRate()
        self._sending = ClientRate()

    # --- the slot of the request ------------------------------------------------------------------------------------

    def begin(self, slots: WorkSlots) -> bool:
        """Take a slot for a request. Return False if there is none in time."""
        if not slots.begin():
            return False
        self._slots, self._has_slot, self._since = slots, True, monotonic()
        set_slot(self)
        return True

    def end(self) -> None:
        """Give the slot away. The request is answered."""
        self.give_away()
        self._slots, self._holds_head, self._head = None, False, b""
        self._is_answered, self._receives_until = False, None
        set_slot(None)

    def resume(self) -> None:
        """Take a slot again, if the request gave its own away. Let others work if the request worked for long."""
        slots = self._slots
        if slots is None:
            return
        if self._has_slot:
            if not slots.waiting or monotonic() - self._since < TURN_SECONDS:
                return
            slots.give()
        slots.resume()
        self._has_slot, self._since = True, monotonic()

    def give_away(self) -> None:
        """Let another request work until `resume`."""
        if self._has_slot and self._slots is not None:
            self._has_slot = False
            self._slots.give()

    # --- receiving --------------------------------------------------------------------------------------------------

    def read_ahead(self) -> bool:
        """Receive what is there, without waiting, into `ahead`. Return False at the end of the stream."""
        try:
            data = super().recv(_READ_AHEAD, _AT_ONCE)
        except BlockingIOError:
            return True
        self.ahead += data
        return bool(data)

    def discard(self) -> int:
        """Receive what is there, without waiting, and forget it. Return how many bytes it was, -1 if nothing is there.

        0 is the end of the stream, also if the client broke the connection off.
        """
        try:
            return len(super().recv(_DISCARDED_AT_ONCE, _AT_ONCE))
        except BlockingIOError:
            return -1
        except OSError:  # reset by the client, for example. The polling thread calls this, and it must go on
            return 0

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return what `read_ahead` received, all of it. Otherwise return at most `size` bytes from the client."""
        if self.ahead:
            data, self.ahead = self.ahead, b""
            return data
        try:
            return self._received(size, flags | _AT_ONCE)
        except BlockingIOError:
            self._let_others_work()
            return self._awaited(size, flags)

    def receive(self, size: int) -> bytes:
        """Return `size` bytes from the client. Return fewer if some are not here after some seconds, b"" at the end.

        One system call receives all of them, so that they are not copied.
        """
        if self.ahead:
            data, self.ahead = self.ahead[:size], self.ahead[size:]
            return data
        if self._bytes_here() < size:
            self._let_others_work()
        return self._awaited(size, socket.MSG_WAITALL)

    def _received(self, size: int, flags: int) -> bytes:
        data = super().recv(size, flags)
        self._bytes_received += len(data)
        return data

    def _bytes_here(self) -> int:
        """Return how many bytes wait in the kernel."""
        return self._kernel_bytes(termios.FIONREAD) if sys.platform == "linux" else 0

    def _let_others_work(self) -> None:
        self.flush()  # the client may wait for it
        self.give_away()

    def _awaited(self, size: int, flags: int) -> bytes:
        """Return bytes that the client sends, or b"" at the end of the stream. Wait for them."""
        if self._is_answered:
            return self._awaited_after_answer(size, flags)
        started = monotonic()
        limit = SILENT_SECONDS if self._limit is None else self._limit
        while True:
            begun, data = monotonic(), b""
            try:
                data = self._received(size, flags)
            except BlockingIOError:
                if monotonic() - started >= limit:
                    raise TimeoutError(f"the client sent nothing for {limit:.0f} s") from None
            else:
                return data
            finally:
                self._receiving.waited(monotonic() - begun, lambda: self._bytes_received, len(data))

    def _awaited_after_answer(self, size: int, flags: int) -> bytes:
        """Return bytes of a body that nobody needs any more. All waits of a request together have a short limit."""
        if self._receives_until is None:
            self._receives_until = monotonic() + ANSWERED_SECONDS
        poll = select.poll()
        poll.register(self, select.POLLIN)
        if not poll.poll(1000 * max(0.0, self._receives_until - monotonic())):
            raise TimeoutError("the client did not send the rest of its body after the answer")
        return self._received(size, flags | _AT_ONCE)

    # --- sending ----------------------------------------------------------------------------------------------------

    def hold_head(self) -> None:
        """Let the next bytes of `sendall`, the head of an answer, wait for the body. One system call sends both."""
        self._holds_head = True

    def flush(self) -> None:
        """Send the head that waits."""
        head, self._head = self._head, b""
        if head:
            self._send(head, 0)

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send all bytes and return their number."""
        self._send(data, flags)
        self.resume()
        return len(data)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        if self._holds_head:
            self._holds_head, self._head = False, data
            self._is_answered = True
            return
        head = self._head
        if head:
            self._head = b""
            if len(data) > _SMALL_BODY:
                self._send(head, _MORE_FOLLOWS)
            else:
                data = head + data
        self._send(data, flags)
        self.resume()

    def _send(self, data: Any, flags: int) -> None:
        """Send all bytes. The slot is given away if the client does not accept them at once."""
        try:
            sent = super().send(data, flags | _AT_ONCE)
        except BlockingIOError:
            sent = 0
        self._bytes_sent += sent
        if sent < len(data):
            self.give_away()
            rest = memoryview(data)[sent:]
            while rest:
                rest = rest[self._wait_sending(super().send, rest, flags) :]

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send `count` bytes of a file from `offset` on, all of them for None. It needs no slot: the kernel does it."""
        head, self._head, self._holds_head = self._head, b"", False
        self._is_answered = True
        if head:
            self._send(head, _MORE_FOLLOWS)
        self.give_away()
        at, end = offset, os.fstat(file.fileno()).st_size if count is None else offset + count
        while at < end:
            at += self._wait_sending(_send_from_file, self, file, at, min(end - at, _SENT_AT_ONCE))
        self.resume()
        return at - offset

    def _wait_sending(self, send: Callable[..., int], *arguments: Any) -> int:
        """Return how many bytes the call sent, perhaps 0. It waits for the client for some seconds."""
        begun = monotonic()
        try:
            sent = send(*arguments)
        except BlockingIOError:
            sent = 0
        self._bytes_sent += sent
        self._sending.waited(monotonic() - begun, self._bytes_accepted)
        return sent

    def _bytes_accepted(self) -> int:
        """Return how many bytes the client accepted. The others wait in the kernel, which may take megabytes."""
        if sys.platform != "linux":
            return self._bytes_sent
        return self._bytes_sent - self._kernel_bytes(termios.TIOCOUTQ)

    def _kernel_bytes(self, question: int) -> int:
        return int(struct.unpack("i", fcntl.ioctl(self, question, b"\0\0\0\0"))[0])

    # --- what gunicorn calls ----------------------------------------------------------------------------------------

    def setblocking(self, flag: bool, /) -> None:
        """Do nothing. Each call above says itself whether it waits. This saves system calls."""

    def settimeout(self, value: float | None, /) -> None:
        """Let `recv` wait at most so many seconds."""
        self._limit = value

    def gettimeout(self) -> float | None:
        return self._limit


def _send_from_file(client: socket.socket, file: Any, offset: int, count: int) -> int:
    sent = os.sendfile(client.fileno(), file.fileno(), offset, count)
    if not sent:
        raise OSError(errno.EIO, "the file ends before its announced length")
    return sent
