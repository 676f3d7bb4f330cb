"""Malformed messages to a real server: what never becomes a request for the application."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

from tests.fuzz.campaign import Findings
from tests.fuzz.grammar import FuzzedRequest, fuzzed
from tests.fuzz.mutation import mutated_bytes

_START_SECONDS: Final = 60
_SECONDS: Final = 2.0
"""How long a client waits for an answer. A message may end early, and then the server waits for more."""

ALLOWED: Final = frozenset({501})
"""The answer to a transfer coding that HTTP does not have (conformance §1.4)."""


def send_raw(count: int, seed: int) -> Findings:
    """Send damaged messages to a server of its own. A server process that dies is a failure."""
    found, random = Findings(), Random(seed)
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as (port, process):
        before = _children(process.pid)
        for number in range(count):
            message = _message(random)
            status = _send(port, message, random)
            found.statuses[status] += 1
            if status >= 500 and status not in ALLOWED:
                found.failures.setdefault(f"{status} to a raw message", f"seed {seed}, {number}: {message[:2000]!r}")
        if _send(port, b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", random) != 200:
            found.failures["the server does not answer any more"] = f"seed {seed}"
        if process.poll() is not None or _children(process.pid) != before:
            found.failures["a server process died"] = f"seed {seed}"
    return found


@contextmanager
def _server(folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "BULKHEAD_DATA_DIR": str(folder),
        "BULKHEAD_PORT": str(port),
        "BULKHEAD_LOG_LEVEL": "error",
        "BULKHEAD_AUDIT": "off",
    }
    process = subprocess.Popen([sys.executable, "-m", "app.entry.serving"], env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        time.sleep(1)  # the second server process starts as well
        yield port, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _children(pid: int) -> set[int]:
    return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def _message(random: Random) -> bytes:
    request = fuzzed(random)
    message = _encoded(request, random)
    return mutated_bytes(random, message) if random.random() < 0.8 else message


def _encoded(request: FuzzedRequest, random: Random) -> bytes:
    target = re.sub(r"[\s\x00]", "%20", request.path) or "/"
    if request.query:
        target += "?" + re.sub(r"[\s\x00]", "%20", request.query)
    version = random.choice(("HTTP/1.1",) * 8 + ("HTTP/1.0", "HTTP/1.9", "HTTP/2.0", "HTP/1.1", ""))
    lines = [f"{request.method} {target} {version}", *(f"{name}: {value}" for name, value in request.headers)]
    if not any(name == "Host" for name, _ in request.headers):
        lines.append("Host: 127.0.0.1")
    body = request.body[:4096]
    if random.random() < 0.2:
        lines.append(random.choice(("Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "transfer-encoding: x")))
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    else:
        lines.append(f"Content-Length: {random.choice((len(body),) * 5 + (-1, 0, len(body) + 5, 10**20))}")
    return "\r\n".join((*lines, "Connection: close", "", "")).encode("latin-1", "replace") + body


def _send(port: int, message: bytes, random: Random) -> int:
    """Return the status of the answer; 0 if the server closed without one, or waits for the rest of the message."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.settimeout(_SECONDS)
        try:
            if random.random() < 0.1:
                cut = random.randrange(len(message) + 1)
                connection.sendall(message[:cut])
                connection.sendall(message[cut:])
            else:
                connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)
        except OSError:
            return 0
    match = re.match(rb"HTTP/1\.\d (\d{3}) ", answer)
    return int(match[1]) if match else 0
