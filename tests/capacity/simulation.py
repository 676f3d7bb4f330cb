"""Many writers that store at a fixed rate for some time of the model: which keys are how busy, and which refuse."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple
from unittest import mock

import structlog

from app.errors import StorageError
from app.services import store
from app.storage.table import clock
from tests.capacity.archive import ModelArchive, Slices, number_uid
from tests.capacity.memory_table import MemoryTable
from tests.capacity.metered_table import KEY_WRITES, ThrottledTable
from tests.capacity.workloads import family

START: Final = 1_750_000_000.0
"""The time of the model at the start, in seconds since 1970."""


class Load(NamedTuple):
    """A load: `rate` instances a second, in requests of `batch`, from `writers` writers, for `seconds`.

    The writers are spread over the partitions, and those of a partition over its studies. Each writer stores into a
    series of its own, and each is a process of its own.
    """

    rate: int = 5000
    batch: int = 12
    writers: int = 64
    seconds: int = 60
    partitions: int = 5
    studies: int = 2
    """The studies of each partition that are stored at the same time."""


class Outcome(NamedTuple):
    """What a load did. `peaks` are shares of what a key takes, by family: of its hottest key in its worst second."""

    load: Load
    stored: int
    refused_requests: int
    refused_keys: dict[str, int]
    peaks: dict[str, float]
    write_units: float
    """For one instance."""

    @property
    def stored_rate(self) -> float:
        """Instances that were stored in a second of the model."""
        return self.stored / self.load.seconds


class Model:
    """The time of the model. Sleeping moves it."""

    def __init__(self) -> None:
        self.now = START

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let the archive use this time, and log nothing: each refused request would be logged with its stack."""
        silent = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        with (
            mock.patch.object(store.service, "log", silent),
            mock.patch.object(store.pending, "log", silent),
            mock.patch.object(clock, "now", lambda: self.now),
            mock.patch.object(time, "monotonic", lambda: self.now),
            mock.patch.object(time, "sleep", self.sleep),
        ):
            yield


def simulate(load: Load, progress: Callable[[float], None] = lambda _: None) -> Outcome:
    """Run a load on the model of DynamoDB. `progress` is called with the part that is done.

    A worker does its background work once a second. A request that is refused is not repeated.
    """
    model = Model()
    with model.in_use():
        table = ThrottledTable(MemoryTable(), lambda: model.now)
        worker = ModelArchive(table)
        writers = [_Writer(table, load, number) for number in range(load.writers)]
        model.sleep(2)
        table.refused, table.peak = Counter(), Counter()
        before = table.meter.write_units
        start = model.now
        requests = load.rate * load.seconds // load.batch
        stored = refused = worked = 0
        for number in range(requests):
            model.now = start + number * load.batch / load.rate
            if int(model.now - start) > worked:
                worked += 1
                _work(worker)
                progress(number / requests)
            done = writers[number % load.writers].store()
            stored += done
            refused += not done
        _work(worker)
        units = (table.meter.write_units - before) / max(1, stored)
        return Outcome(load, stored, refused, _by_family(table.refused), _shares(table.peak), units)


class _Writer:
    """A process that stores into one series."""

    def __init__(self, table: ThrottledTable, load: Load, number: int) -> None:
        self._archive = ModelArchive(table)
        self._partition = self._archive.partition(f"source-{number % load.partitions}")
        study = number // load.partitions % load.studies
        self._study = number_uid(1, number % load.partitions * load.studies + study)
        self._series = number_uid(2, number)
        self._slices = Slices(number)
        self._batch = load.batch
        self.store()

    def store(self) -> int:
        """Store one request. Return how many instances were stored."""
        files = [self._slices.new(self._study, self._series) for _ in range(self._batch)]
        try:
            return self._archive.store(self._partition, files)
        except StorageError:
            return 0


def _work(worker: ModelArchive) -> None:
    """Do background work. A step that is refused is done again in the next second."""
    for step in worker.services.background:
        try:
            while step():
                pass
        except StorageError:
            continue


def _by_family(units: Counter[str]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for pk, number in units.items():
        found[family(pk)] += number
    return dict(found)


def _shares(peaks: Counter[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for pk, units in peaks.items():
        found[family(pk)] = max(found.get(family(pk), 0.0), units / KEY_WRITES)
    return dict(sorted(found.items(), key=lambda each: -each[1]))
