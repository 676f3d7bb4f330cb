"""Bulk updates: instances a second beside a plain copy of the same files, and the memory that a large study takes.

python -m tests.benchmarks.bulk_update              400 CT slices
python -m tests.benchmarks.bulk_update --memory     10,000 small instances of one study, updated by a process of its own
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final

import click

from app import bootstrap
from app.services.access.caller import ANONYMOUS
from app.services.policy import V2
from app.services.update.service import UpdateRequest
from app.settings import Settings
from tests.benchmarks.processes import forget_peak, peak, resident
from tests.support.instances import ct, make_instance

STUDY: Final = "2.25.1101"
MANY: Final = 10_000


class Archive:
    """An embedded archive in `folder`. Its work is done in this process."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(data_dir=folder / "data", log_level="error")
        self.folder = folder
        self.services = bootstrap.build_services(settings, bootstrap.build_engine(settings))
        self.partition = self.services.partitions.resolve("bench", create=True)

    def store(self, instances: Iterator[bytes]) -> int:
        """Store the instances. Return their size in bytes."""
        size = 0
        while batch := list(islice(instances, 50)):
            size += sum(map(len, batch))
            assert not self.services.store(self.partition, map(BytesIO, batch), None, V2).failed
        return size

    def update(self, patient: str) -> float:
        """Update the study. Return the seconds from the request to the end."""
        dataset = {
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": f"Smith^{patient}"}]},
            "00100020": {"vr": "LO", "Value": [patient]},
        }
        started = time.perf_counter()
        asked = self.services.bulk_update.start(
            ANONYMOUS, self.partition, UpdateRequest(studies=[STUDY], changes=dataset)
        )
        while (operation := self.services.operations.find(ANONYMOUS, asked)) and not operation.ended:
            self.services.background[0]()
        assert operation
        assert operation.status == "succeeded", operation
        return time.perf_counter() - started


def copied(folder: Path) -> float:
    """Copy and sync every stored file. Return the seconds: an update of all files can hardly be faster."""
    target = folder / "copies"
    target.mkdir()
    files = list((folder / "data" / "blobs" / "objects").rglob("*.dcm"))
    started = time.perf_counter()
    for number, source in enumerate(files):
        shutil.copyfile(source, target / str(number))
        descriptor = os.open(target / str(number), os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    taken = time.perf_counter() - started
    shutil.rmtree(target)
    return taken


@click.command(help=__doc__)
@click.option("--instances", default=400, show_default=True, help="CT slices in the study.")
@click.option("--laps", default=5, show_default=True, help="Updates.")
@click.option("--memory", is_flag=True, help="Measure memory instead.")
def main(instances: int, laps: int, memory: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="bulk-update-") as name:
        archive = Archive(Path(name))
        if memory:
            _memory(archive)
            return
        size = archive.store(ct(instance=f"{STUDY}.{n}", study=STUDY, series="2.25.1102") for n in range(instances))
        click.echo(f"{instances} CT slices, {size / 1e6:.0f} MB")
        copying = [copied(archive.folder) for _ in range(3)]
        bootstrap._REST_RATIO = 0  # type: ignore[misc]  # the benchmark measures without the pauses
        restless = Archive(archive.folder)
        paced, at_once = [], []
        for lap in range(laps):
            paced.append(archive.update(f"MRN-{lap}"))
            at_once.append(restless.update(f"MRN-{lap}-2"))
        plain = instances / median(copying)
        for what, taken in (("resting between steps, as shipped", paced), ("without rest", at_once)):
            rate = instances / median(taken)
            click.echo(f"{what}: {rate:.0f} instances/s (a plain copy {plain:.0f}, ratio {rate / plain:.2f})")


def _memory(archive: Archive) -> None:
    """Update a large study in another process. The process has updated a small study before."""
    archive.store(make_instance(study=STUDY, series="2.25.1102", pixel=False) for _ in range(100))
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    worker = context.Process(target=_work, args=(archive.folder, there))
    worker.start()
    assert worker.pid
    here.send("warm")
    here.recv()
    archive.store(make_instance(study=STUDY, series="2.25.1103", pixel=False) for _ in range(MANY))
    idle = resident(worker.pid)
    forget_peak(worker.pid)
    here.send("large")
    taken = here.recv()
    click.echo(
        f"{MANY + 100} instances in {taken:.1f} s ({(MANY + 100) / taken:.0f}/s): peak {peak(worker.pid):.0f} MB, "
        f"{peak(worker.pid) - idle:.0f} MB over what 100 take"
    )
    here.send(None)
    worker.join()


def _work(folder: Path, pipe: object) -> None:
    """Update the study for each message of the pipe. Answer with the seconds."""
    archive = Archive(folder)
    while patient := pipe.recv():  # type: ignore[attr-defined]  # a Connection
        pipe.send(archive.update(patient))  # type: ignore[attr-defined]  # a Connection


if __name__ == "__main__":
    main()
