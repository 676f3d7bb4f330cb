"""One process of a campaign: a server or a worker whose engine fails at random and whose clock may be wrong.

`python -m tests.torture.server serve|work --name a --seed 7 --rate 0.01 --clock 42 --folder DIR`. The settings are
those of `bulkhead serve`. Each fault that happens adds a line to `faults.log` in the folder, so that a kill -9 loses
none.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from app import bootstrap, logs
from app.engines.embedded import commits
from app.entry import worker
from app.entry.serving import Server
from app.entry.supervision import follow_parent
from app.settings import Settings
from app.storage.table import clock
from tests.support.faulty_engine import Faults
from tests.support.random_faults import Fault, RandomFaults
from tests.torture.consumers import CLOCK_HEADER

SHARES = {
    Fault.FAIL_BEFORE: 1.0,
    Fault.FAIL_AFTER: 1.0,
    Fault.CONFLICT: 1.0,
    Fault.THROTTLE: 0.5,
    Fault.DELAY: 2.0,
    Fault.BREAK_OFF: 1.0,
    Fault.TRUNCATE: 0.5,
}
"""The rate of each fault, as a multiple of `--rate`."""


class RecordedFaults(RandomFaults):
    """Random faults that are appended to a file as they happen."""

    def __init__(self, seed: int, rate: float, record: Path) -> None:
        super().__init__(seed, {fault: rate * share for fault, share in SHARES.items()})
        self._record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def _apply(self, fault: Fault, source: random.Random) -> None:
        os.write(self._record, f"{fault.value}\n".encode())
        super()._apply(fault, source)


class ServerWithClock(Server):
    """A server that tells its clock in a header of each answer."""

    def load(self) -> Any:
        application = super().load()

        def with_clock(environ: Any, start_response: Any) -> Iterable[bytes]:
            def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
                return start_response(status, [*headers, (CLOCK_HEADER, repr(clock.now()))], *rest)

            answer: Iterable[bytes] = application(environ, start)
            return answer

        return with_clock


def main() -> None:
    """Run the process until it gets a signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("serve", "work"))
    parser.add_argument("--name", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--clock", type=float, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    follow_parent()
    clock.now = lambda: time.time() + given.clock
    os.fsync = lambda fd: None  # the page cache survives a kill -9, so nothing waits for the disk
    commits._SYNCHRONOUS = dict.fromkeys((True, False), "PRAGMA synchronous = OFF")  # type: ignore[misc]  # as above
    if given.rate:
        _make_faulty(given.folder, given.name, given.seed, given.rate)
    settings = Settings.from_environment(os.environ)
    if given.role == "serve":
        ServerWithClock(settings).run()
    else:
        logs.configure(settings.log_level, settings.log_format)
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        worker.run(settings, stop)


def _make_faulty(folder: Path, name: str, seed: int, rate: float) -> None:
    """Let `build_engine` return an engine with faults. Each start of a process draws other faults."""
    build_engine = bootstrap.build_engine

    def build(settings: Settings) -> bootstrap.Engine:
        with (folder / f"{name}.starts").open("ab") as starts:
            starts.write(b".")
            number = starts.tell()
        faults = Faults()
        engine = faults.wrap(build_engine(settings))
        drawn = RecordedFaults(hash((seed, sum(name.encode()), number)), rate, folder / "faults.log")
        faults.add(drawn.rule())
        return engine

    bootstrap.build_engine = build


if __name__ == "__main__":
    main()
