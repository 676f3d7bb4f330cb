"""After `kill -9` of a process that stores, every instance that it acknowledged is visible, and all are complete.

The integration suite does it to a whole server; here it is one process with threads, killed a few times in a row.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import pytest

from tests.support.archive import Archive, Uids, file
from tests.support.clock import stop_clock

THREADS, ROUNDS, ACKNOWLEDGED = 4, 3, 12


def uids_of(turn: int, thread: int, number: int) -> Uids:
    study = f"2.25.{turn}{number % 3}1"
    return study, f"{study}.{thread % 2}", f"{study}.{turn}.{thread}.{number}"


def store_for_ever(folder: Path, turn: int) -> None:
    """Store from several threads, two at a time, and say which instances were."""
    archive = Archive(folder)
    printing = threading.Lock()

    def run(thread: int) -> None:
        for number in range(0, 100_000, 2):
            pair = [uids_of(turn, thread, number), uids_of(turn, thread, number + 1)]
            assert archive.store(*(file(*uids) for uids in pair)) == [0, 0]
            with printing:
                print(*("/".join(uids) for uids in pair), flush=True)  # noqa: T201  # the test reads it

    threads = [threading.Thread(target=run, args=(thread,)) for thread in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def acknowledged(output: IO[str], lines: int) -> set[Uids]:
    """What a process tells in so many lines, or until it ends."""
    found: set[Uids] = set()
    for line in output:
        found |= {tuple(each.split("/")) for each in line.split()}  # type: ignore[misc]  # three UIDs
        lines -= 1
        if lines == 0:
            break
    return found


def test_what_was_acknowledged_survives_and_nothing_is_half_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: set[Uids] = set()
    archive = Archive(tmp_path)
    for turn in range(1, ROUNDS + 1):
        command = [sys.executable, "-m", "tests.unit.storage.test_kill", str(tmp_path), str(turn)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        stored |= acknowledged(process.stdout, ACKNOWLEDGED)
        process.send_signal(signal.SIGKILL)
        stored |= acknowledged(process.stdout, -1)
        process.wait()
    assert len(stored) >= ROUNDS * ACKNOWLEDGED
    advance_clock = stop_clock(monkeypatch)  # only now: the killed processes used the clock of the machine
    advance_clock(10)  # the feed waits for writers that will not come
    found = archive.visible()
    assert stored <= found
    advance_clock()
    archive.work()
    archive.check_clean()
    assert archive.visible() == found


if __name__ == "__main__":
    store_for_ever(Path(sys.argv[1]), int(sys.argv[2]))
