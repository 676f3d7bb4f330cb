"""`bulkhead store` in a process of its own, which is killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from tests.support.instances import make_instance

pytestmark = pytest.mark.thorough

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class SlowService:
    """The service. After `answered` stores it calls `reached` and answers no further one until `resumed` is set."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._lock = threading.Lock()
        self.answered = 10**6
        self.reached = threading.Event()
        self.resumed = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            with self._lock:
                self.answered -= 1
                waits = self.answered < 0
            if waits:
                self.reached.set()
                self.resumed.wait(110)
        return self._application(environ, start_response)


@pytest.fixture
def slow(client: FlaskClient) -> SlowService:
    return SlowService(client.application)


@pytest.fixture
def url(slow: SlowService) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, slow, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    slow.resumed.set()
    server.shutdown()
    thread.join()


def start(folder: Path, url: str, state: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "app.entry.cli",
        "store",
        "--json",
        "--jobs",
        "2",
        "--url",
        url,
        "--partition",
        "a",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BULKHEAD_")}
    environment["XDG_STATE_HOME"] = str(state)
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, str(folder)], env=environment, stdout=pipe, stderr=pipe)


def large_instances(folder: Path, number: int) -> Sequence[Path]:
    """Write files of which 3 are a request."""
    folder.mkdir()
    paths = [folder / f"{each}.dcm" for each in range(number)]
    for path in paths:
        path.write_bytes(make_instance(study="2.25.1", rows=1024, columns=1024, pixel=bytes(2 << 20)))
    return paths


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGTERM])
def test_after_an_end_in_the_middle_everything_is_stored_once(
    slow: SlowService, url: str, client: FlaskClient, tmp_path: Path, ended_by: signal.Signals
) -> None:
    paths = large_instances(tmp_path / "in", 20)
    slow.answered = 2
    process = start(tmp_path / "in", url, tmp_path / "state")
    assert slow.reached.wait(100)
    process.send_signal(ended_by)
    output, errors = process.communicate(timeout=100)
    if ended_by == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130, errors
        assert orjson.loads(output)["interrupted"] is True
        assert b"Give the same command again to go on." in errors
    slow.answered = 10**6
    slow.resumed.set()
    again = start(tmp_path / "in", url, tmp_path / "state")
    output, errors = again.communicate(timeout=100)
    assert again.returncode == 0, errors
    summary = orjson.loads(output)
    assert summary["files"] == len(paths)
    assert summary["refused"] == 0
    if ended_by == signal.SIGTERM:  # a kill may come before the journal has its first entry
        assert summary["storedEarlier"] > 0
    assert len(client.get("/v2/partitions/a/instances?limit=200").get_json(force=True)) == len(paths)
