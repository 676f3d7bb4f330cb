"""The baseline of this machine: the time of operations that no store in Python can avoid, measured in the same run."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any, Final

from flask import Flask
from pydicom import dcmread

from app.settings import Settings
from tests.benchmarks.calls import Call
from tests.benchmarks.client import lap
from tests.benchmarks.corpus import Corpus
from tests.benchmarks.servers import BUILD, Kind, running

ANSWER: Final = b"[]"
FILE: Final = "BENCHMARK_FILE"
"""Environment variable: the file that `sending` sends."""
SERVED: Final = (
    ("a bare WSGI application", "wsgi"),
    ("a bare Flask route", "flask"),
    ("a bare WSGI application that reads and sends a CT file", "sending"),
)


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with two bytes: the smallest WSGI application."""
    return _answer(ANSWER, start_response)


def sending(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Read a file and send it, without keeping it in memory."""
    return _answer(Path(os.environ[FILE]).read_bytes(), start_response)


flask = Flask(__name__)


@flask.get("/")
def _root() -> bytes:
    return ANSWER


def _answer(body: bytes, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def measured_baseline(corpus: Corpus) -> Iterator[tuple[str, float]]:
    """Yield the name and the milliseconds of each operation: a median, or for servers wall time per request."""
    ct = corpus.slices[0].data
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as name:
        folder = Path(name)
        yield f"write, fsync and rename a file of {len(ct) // 1000} KB", _timed(lambda: _write(folder, ct))
        with closing(sqlite3.connect(folder / "baseline.sqlite", isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("CREATE TABLE item (sk INTEGER PRIMARY KEY, body BLOB)")
            insert = "INSERT INTO item (body) VALUES (zeroblob(2000))"
            yield "commit 2 KB to SQLite (WAL, synchronous)", _timed(lambda: connection.execute(insert))
        yield "read the header of a CT with pydicom", _timed(lambda: dcmread(BytesIO(ct), stop_before_pixels=True))
        for title, application in SERVED:
            yield from _served(title, application, folder / "file")


def _served(title: str, application: str, file: Path) -> Iterator[tuple[str, float]]:
    call = Call("/", "*/*", lambda response: response.body, None)
    with running(_gunicorn(application, file)) as server:
        for clients in (1, 8):
            run = lap(server, [[call.wire(server)]] * clients, 1.0)
            milliseconds = 1_000 * run.seconds / sum(map(len, run.samples))
            yield f"gunicorn: {title}, {clients} client{'s' * (clients > 1)}", milliseconds


def _gunicorn(application: str, file: Path) -> Kind:
    """gunicorn with the default number of workers and threads of Bulkhead."""
    defaults = Settings()
    workers = defaults.workers or max(2, os.cpu_count() or 1)
    options = f"--worker-class gthread --workers {workers} --threads {defaults.threads} --no-control-socket".split()
    return Kind(
        name=application,
        base="",
        ready="/",
        command=lambda folder, port: [
            *(sys.executable, "-m", "gunicorn", *options),
            *("--bind", f"127.0.0.1:{port}", f"{__name__}:{application}"),
        ],
        environment=lambda folder, port: {FILE: str(file)},
        name_prefix="",
    )


def _write(folder: Path, content: bytes) -> None:
    draft = folder / "draft"
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(folder / "file")


def _timed(work: Callable[[], object], times: int = 100) -> float:
    def once() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return 1_000 * median(once() for _ in range(times))
