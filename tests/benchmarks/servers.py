"""The servers of the benchmark. Each has its own loopback port and its own empty folder, removed at the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from tests.benchmarks import processes

BUILD: Final = Path(__file__).parents[2] / "build"
PLUGIN: Final = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
START_SECONDS: Final = 30.0
"""How long a server may take to start, and to stop."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A product: how it is started, and the paths of its DICOMweb service."""

    name: str
    base: str
    ready: str
    command: Callable[[Path, int], list[str]]
    environment: Callable[[Path, int], dict[str, str]]
    name_prefix: str
    """The query for a prefix of PatientName. `{}` stands for the prefix."""
    directory: Path = BUILD.parent
    """The working directory of its processes."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    kind: Kind
    port: int
    pid: int
    folder: Path

    @property
    def name(self) -> str:
        """The name in the report."""
        return self.kind.name

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its processes so far."""
        return processes.cpu_seconds(self.pid)


def orthanc_installed() -> bool:
    """Return whether Orthanc and its DICOMweb plugin are installed."""
    return shutil.which("Orthanc") is not None and PLUGIN.exists()


@contextmanager
def running(kind: Kind) -> Iterator[Server]:
    """Start a new server of this kind and wait until it answers. It is stopped and its folder removed at the end."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as name:
        folder, port = Path(name), _free_port()
        log = folder / "server.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                kind.command(folder, port),
                env=os.environ | kind.environment(folder, port),
                cwd=kind.directory,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{port}{kind.ready}", log)
            yield Server(kind, port, process.pid, folder)
        finally:
            _stop(process)


def _orthanc_command(folder: Path, port: int) -> list[str]:
    """Return the command for Orthanc with its default configuration, except for ports and folders. It syncs files."""
    configuration = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration))
    return ["Orthanc", str(path)]


def bulkhead(checkout: Path, name: str) -> Kind:
    """Return Bulkhead as the source tree in `checkout` has it.

    The tree runs on its own virtual environment, `.venv`, or on this interpreter if it has none. Raises RuntimeError
    when that interpreter imports another tree.
    """
    own = checkout / ".venv" / "bin" / "python"
    python = str(own if own.exists() else sys.executable)
    place = {"PYTHONPATH": str(checkout)}
    imported = subprocess.run(
        [python, "-c", "import app; print(app.__file__)"],
        cwd=checkout,
        env=os.environ | place,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if not Path(imported).is_relative_to(checkout):
        raise RuntimeError(f"{python} imports {imported} instead of {checkout}/app")
    module, function = _entry_point(checkout)
    # Each picture is measured as if it were asked for the first time. Earlier releases do not know the setting.
    has_cache = (checkout / "app" / "settings" / "rendering.py").exists()

    def environment(folder: Path, port: int) -> dict[str, str]:
        return (
            place
            | {
                "BULKHEAD_ENGINE": "embedded",
                "BULKHEAD_DATA_DIR": str(folder / "data"),
                "BULKHEAD_HOST": "127.0.0.1",
                "BULKHEAD_PORT": str(port),
                "BULKHEAD_LOG_LEVEL": "warning",
            }
            | ({"BULKHEAD_PICTURE_CACHE_BYTES": "0"} if has_cache else {})
        )

    return Kind(
        name=name,
        base="/v2/partitions/bench",
        ready="/health/check",
        command=lambda folder, port: [python, "-c", f"from {module} import {function} as main; main()", "serve"],
        environment=environment,
        name_prefix="PatientName={}&fuzzymatching=true",
        directory=checkout,
    )


def _entry_point(checkout: Path) -> tuple[str, str]:
    """Return module and function of the `bulkhead` command; earlier commits have them elsewhere."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["bulkhead"].partition(":")
    return module, function


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), urlopen(url, timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} did not get ready:\n{log.read_text(errors='replace')[-4000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM, wait, then kill the group. It is a session of its own, so it has no other processes."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(START_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# Orthanc 1.10 finds nothing for a fuzzy prefix and does not decode %XX in values. So the asterisk is not encoded.
ORTHANC: Final = Kind(
    name="Orthanc",
    base="/dicom-web",
    ready="/system",
    command=_orthanc_command,
    environment=lambda folder, port: {},
    name_prefix="PatientName={}*",
)
