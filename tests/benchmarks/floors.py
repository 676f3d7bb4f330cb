"""The floors of this machine: what no store written in Python can go below, timed in the same run."""

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
from tests.benchmarks.asks import Ask
from tests.benchmarks.client import lap
from tests.benchmarks.corpus import Corpus
from tests.benchmarks.servers import BUILD, Kind, running

ANSWER: Final = b"[]"


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The least a WSGI application can do."""
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(ANSWER)))])
    return [ANSWER]


flask = Flask(__name__)


@flask.get("/")
def _root() -> bytes:
    return ANSWER


def floors(corpus: Corpus) -> Iterator[tuple[str, float]]:
    """Each floor by name, in milliseconds of its median."""
    yield from _http()
    slice_ = corpus.slices[0].data
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as name:
        yield f"write, fsync and rename a file of {len(slice_) // 1000} KB", _timed(lambda: _write(Path(name), slice_))
        with closing(sqlite3.connect(Path(name) / "floor.sqlite", isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("CREATE TABLE item (sk INTEGER PRIMARY KEY, body BLOB)")
            insert = "INSERT INTO item (body) VALUES (zeroblob(2000))"
            yield "commit 2 KB to SQLite (WAL, synchronous)", _timed(lambda: connection.execute(insert))
    yield "read the header of a CT with pydicom", _timed(lambda: dcmread(BytesIO(slice_), stop_before_pixels=True))


def _http() -> Iterator[tuple[str, float]]:
    ask = Ask("/", "*/*", lambda response: response.body, ANSWER)
    for name, application in (("a bare WSGI application", "wsgi"), ("a bare Flask route", "flask")):
        with running(_gunicorn(application)) as server:
            for clients in (1, 8):
                run = lap(server, [[ask.wire(server)]] * clients, 1.0)
                requests = sum(map(len, run.samples))
                yield (
                    f"{name} in gunicorn, {clients} client{'s' * (clients > 1)}, wall per request",
                    (1_000 * run.seconds / requests),
                )


def _gunicorn(application: str) -> Kind:
    """gunicorn with as many workers and threads as Bulkhead takes unless told."""
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
        environment=lambda folder, port: {},
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
