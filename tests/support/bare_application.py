"""A small WSGI application on the HTTP server of the service, with few work slots: what a client gets of the server.

`python -m tests.support.bare_application THREADS OPEN_REQUESTS FILE [PROCESSES]` serves it on a free port of 127.0.0.1,
by default in one process. Each process prints the port when it is ready.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication

from app.entry import keepalive
from app.entry.serving import gunicorn_options
from app.settings import Settings

_held = threading.Event()


class BareServer(BaseApplication):
    """gunicorn with the options of the service and the application below. `/health/asked?PATH` counts requests.

    `/process` answers with the id of the process.
    """

    def __init__(self, threads: int, open_requests: int, file: Path, processes: int = 1) -> None:
        self._settings = Settings(
            port=0,
            workers=processes,
            threads=threads,
            open_requests=open_requests,
            log_level="error",
            log_format="console",
        )
        self._file = file
        self._asked: Counter[str] = Counter()
        super().__init__()

    def load_config(self) -> None:
        for name, value in {**gunicorn_options(self._settings), "post_worker_init": _announce}.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._answer

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self._asked[path] += 1
        if path == "/file":
            start_response("200 OK", [])
            file: Iterable[bytes] = environ["wsgi.file_wrapper"](self._file.open("rb"))
            return file
        if path == "/broken":  # fails in the middle of a body, which has a length if the query names one
            length = environ["QUERY_STRING"]
            start_response("200 OK", [("Content-Length", length)] if length else [])
            return _broken()
        if path == "/hold":  # keeps its slot, as work of the processor does
            _held.wait(60)
        elif path == "/health/release":
            _held.set()
        elif path == "/process":
            path = str(os.getpid())
        elif path == "/health/asked":
            path = str(self._asked[environ["QUERY_STRING"]])
        body = _stream(self._file) if path == "/stream" else [environ["wsgi.input"].read() or path.encode()]
        start_response("200 OK", [("Content-Length", str(len(body[0])))] if isinstance(body, list) else [])
        return body


def _stream(file: Path) -> Iterable[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(100_000):
            yield chunk


def _broken() -> Iterable[bytes]:
    yield b"begun"
    raise ValueError("the store fails")


def _announce(worker: Any) -> None:
    sys.stdout.write(f"{worker.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    keepalive.STOP_SECONDS = 10.0  # type: ignore[misc]  # a busy client may need longer than usual
    BareServer(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:])).run()
