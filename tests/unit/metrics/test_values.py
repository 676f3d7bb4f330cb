"""The values of metrics: in the memory of a process, in a file that other processes read, after kill -9."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from app.metrics import cells, folder, kinds
from app.metrics.cells import SIZE, Cells, in_memory, values
from app.metrics.exposition import exposition
from app.metrics.kinds import Counter, Gauge, Histogram, Metric

PROCESS = """
import sys, threading
from pathlib import Path
from app.metrics import REFUSALS, REQUESTS_IN_FLIGHT, folder
folder.join(Path(sys.argv[1]))
REFUSALS.add("Test", by=int(sys.argv[2]))
REQUESTS_IN_FLIGHT.add(by=3)
print("counted", flush=True)
threading.Event().wait()
"""


@pytest.fixture(autouse=True)
def own_metrics(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Values of the test alone. The other metrics keep theirs."""
    before, registered = Metric.cells, dict(Metric.registry)
    monkeypatch.setattr(folder, "_joined", [])
    kinds.use(in_memory())
    yield
    Metric.registry.clear()
    Metric.registry.update(registered)
    kinds.use(before)


def samples(text: bytes, *, openmetrics: bool = False) -> dict[tuple[str, tuple[str, ...]], float]:
    parse = parse_openmetrics if openmetrics else parse_text
    found = {}
    for family in parse(text.decode()):
        for sample in family.samples:
            found[sample.name, tuple(sample.labels.values())] = sample.value
    return found


@pytest.mark.parametrize("openmetrics", [False, True])
def test_each_kind_in_both_formats(openmetrics: bool) -> None:
    Counter("test_things_total", "Things.", ("kind", "colour")).add('a "b"\\\n', "red", by=2.5)
    Gauge("test_level", "Level.").set(-3)
    histogram = Histogram("test_seconds", "Time.", ("route",), bounds=(0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7):
        histogram.observe(seconds, "/a")
    found = samples(exposition(None, openmetrics=openmetrics), openmetrics=openmetrics)
    assert found["test_things_total", ('a "b"\\\n', "red")] == 2.5
    assert found["test_level", ()] == -3
    assert [found["test_seconds_bucket", ("/a", bound)] for bound in ("0.1", "1.0", "+Inf")] == [2, 3, 4]
    assert found["test_seconds_count", ("/a",)] == 4
    assert found["test_seconds_sum", ("/a",)] == pytest.approx(7.65)
    assert found["bulkhead_processes", ()] == 1


def test_names_without_room_are_not_counted_and_cost_no_other_value() -> None:
    counter = Counter("test_many_total", "Many.", ("name",))
    for number in range(SIZE // 40):
        counter.add(f"{number:08d}")
    assert counter.value("00000000") == 1
    found = samples(exposition(None))
    assert 1000 < len(found) < SIZE // 40
    assert {value for (name, _), value in found.items() if name == "test_many_total"} == {1}


def test_a_record_is_whole_or_not_there() -> None:
    """The bytes in use are raised last, so a kill -9 before that leaves the record outside."""
    memory = mmap(-1, SIZE)
    written = Cells(memory)
    place = written.place(("a_total", "x"), 1)
    written.numbers[place] = 5
    before = memory[:8]
    written.place(("b_total",), 1)
    memory[:8] = before
    assert list(values(memory[:])) == [(("a_total", "x"), [5.0])]
    again = Cells(memory)
    assert again.numbers[again.place(("c_total",), 1)] == 0
    assert [name for name, _ in values(memory[:])] == [("a_total", "x"), ("c_total",)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 4,
        b"\0" * SIZE,
        struct.pack("<QII", 64, 8, 1) + b"no json " + b"\0" * 40,
        struct.pack("<QII", 64, 8, 1000) + b'["ab_t"]' + b"\0" * 40,
    ],
)
def test_a_file_that_is_not_complete_has_no_values(content: bytes) -> None:
    assert list(values(content)) == []


def start(path: Path, count: int) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", PROCESS, path, str(count)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    return process


def test_processes_are_added_and_a_killed_one_keeps_its_counters(tmp_path: Path) -> None:
    first, second = start(tmp_path, 10), start(tmp_path, 100)
    try:
        found = samples(exposition(tmp_path))
        assert found["bulkhead_http_refusals_total", ("Test",)] == 110
        assert (found["bulkhead_http_requests_in_flight", ()], found["bulkhead_processes", ()]) == (6, 2)

        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        found = samples(exposition(tmp_path))
        assert found["bulkhead_http_refusals_total", ("Test",)] == 110
        assert (found["bulkhead_http_requests_in_flight", ()], found["bulkhead_processes", ()]) == (3, 1)

        files = len(list(tmp_path.iterdir()))
        first = start(tmp_path, 1000)
        found = samples(exposition(tmp_path))
        assert found["bulkhead_http_refusals_total", ("Test",)] == 1110
        assert (found["bulkhead_http_requests_in_flight", ()], found["bulkhead_processes", ()]) == (6, 2)
        assert len(list(tmp_path.iterdir())) == files == 2
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()


def test_values_that_were_there_before_the_folder_do_not_disturb(tmp_path: Path) -> None:
    counter = Counter("test_early_total", "Early.")
    counter.add()
    folder.join(tmp_path)
    folder.join(tmp_path)
    counter.add()
    assert samples(exposition(tmp_path))["test_early_total", ()] == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_without_its_folder_a_process_counts_for_itself(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    counter = Counter("test_alone_total", "Alone.")
    folder.join(tmp_path / "file" / "folder")
    counter.add()
    assert counter.value() == 1


def test_a_file_of_another_release_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "0-00000000.values"
    other.write_bytes(b"x" * 100)
    folder.join(tmp_path)
    assert other.read_bytes() == b"x" * 100
    assert samples(exposition(tmp_path))["bulkhead_processes", ()] == 1


def test_a_full_disk_is_no_error_of_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    counter = Counter("test_full_total", "Full.")
    folder.join(tmp_path)
    counter.add()
    assert counter.value() == 1


def test_the_folder_of_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_MEMORY", tmp_path)
    first = folder.ServerFolder()
    assert first.path.stat().st_mode & 0o777 == 0o700
    second = folder.ServerFolder()
    assert first.path.is_dir(), "the first server still runs"

    os.close(first._owner)  # as the kernel does after kill -9
    third = folder.ServerFolder()
    assert not first.path.exists()
    for each in (second, third):
        each.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_being_made_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_MEMORY", tmp_path)
    new, old = (tmp_path / f"bulkhead-metrics-{os.getuid()}-{name}" for name in ("new", "old"))
    for each in (new, old):
        each.mkdir()
    os.utime(old, (0, 0))
    folder.ServerFolder().remove()
    assert (new.exists(), old.exists()) == (True, False)


def test_the_lock_of_a_file_ends_with_its_process_alone(tmp_path: Path) -> None:
    """A scrape opens and closes the file of its own process. The lock stays."""
    folder.join(tmp_path)
    exposition(tmp_path)
    (path,) = tmp_path.iterdir()
    with path.open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert path.stat().st_size == cells.SIZE
