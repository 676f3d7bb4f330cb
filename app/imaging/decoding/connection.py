"""One decoding process, as the server sees it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, socketpair
from time import monotonic
from typing import Final

from app.errors import DecoderUnavailable, ImageFailure
from app.imaging.decoding import messages, process

_BUFFER_BYTES: Final = 1 << 20
_NOT_STARTED: Final = "No decoding process can be started."


_SIGNALS: Final = {each.value: each.name for each in signal.Signals}


class ProcessFailure(ImageFailure):
    """A frame ended its decoding process: the codec crashed, took too long, or the process was killed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A converted frame: what describes it, and its bytes."""

    properties: messages.FrameProperties
    data: bytearray


class DecodingProcess:
    """A decoding process that runs. One thread at a time may use it.

    `idle_since` is the time of its last request, in seconds of the monotonic clock.
    """

    def __init__(self, memory: int) -> None:
        """Start the process. It is ready when the first request is answered. Raises `DecoderUnavailable`."""
        self.idle_since = monotonic()
        self._ready = False
        self._socket, other = socketpair()
        with other:
            for end in (self._socket, other):
                end.setsockopt(SOL_SOCKET, SO_SNDBUF, _BUFFER_BYTES)
                end.setsockopt(SOL_SOCKET, SO_RCVBUF, _BUFFER_BYTES)
            try:
                # Python code must not run between fork and exec, because other threads may hold locks then. So the
                # process sets its limits itself.
                self._process = subprocess.Popen(  # noqa: S603 - the command has no input of a caller
                    process.command(memory),
                    stdin=other.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=process.environment(),
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                self._socket.close()
                raise DecoderUnavailable(_NOT_STARTED) from error

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return int(self._process.pid)

    @property
    def runs(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def ask(self, request: bytes, frame: bytes, seconds: float, accepts: Callable[[int], bool]) -> Answer:
        """Send a request and return the answer. `accepts` says whether a frame of so many bytes is expected.

        Raises `ImageFailure` with the reason of the process. Raises `ProcessFailure` if the process ends, or does not
        answer within `seconds`; `DecoderUnavailable` if it does not even start. The process is unusable afterwards.
        """
        deadline = monotonic() + seconds
        try:
            if not self._ready:
                self._ready = self._read(1, deadline) == messages.READY
            with suppress(ConnectionError):  # a process that has too little memory answers before it has read the frame
                self._wait(deadline)
                messages.send(self._socket, request, frame)
            return self._receive(deadline, accepts)
        except TimeoutError as error:
            raise ProcessFailure(f"Decoding of the frame takes longer than {seconds:g} seconds.") from error
        except ValueError as error:
            raise ProcessFailure("The decoding process gave a wrong answer.") from error
        except (EOFError, OSError) as error:
            if not self._ready:
                raise DecoderUnavailable(_NOT_STARTED) from error
            raise ProcessFailure(f"The decoding process ended: {self._cause()}.") from error

    def end(self) -> None:
        """Kill the process, whatever it does."""
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def _receive(self, deadline: float, accepts: Callable[[int], bool]) -> Answer:
        status, size, length = messages.ANSWER.unpack(self._read(messages.ANSWER.size, deadline))
        if size > messages.MAX_ANSWER_PROPERTIES or (status == messages.DONE and not accepts(length)):
            raise ValueError(f"{size}, {length}")  # no process answers this unless a frame took it over
        packed = bytes(self._read(size, deadline))
        if status == messages.DAMAGED:
            raise ProcessFailure(messages.reason(packed))
        if status != messages.DONE:
            raise ImageFailure(messages.reason(packed))
        properties = messages.frame_properties(packed)
        return Answer(properties, self._read(length, deadline))

    def _read(self, length: int, deadline: float) -> bytearray:
        """Return the next bytes of the process. A process that sends them one by one gets no more time."""
        return messages.read(self._socket, length, before=lambda: self._wait(deadline))

    def _wait(self, deadline: float) -> None:
        """Let the next use of the socket wait until the deadline."""
        rest = deadline - monotonic()
        if rest <= 0:
            raise TimeoutError
        self._socket.settimeout(rest)

    def _cause(self) -> str:
        """Return why the process ended, after its socket did."""
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "it closed its socket"
        return _SIGNALS.get(-code, f"exit code {code}")
