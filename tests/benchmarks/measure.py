"""Runs a scenario: loads what it needs, proves that the answers are right, then times the sides in turn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from tests.benchmarks import asks, processes
from tests.benchmarks.asks import Ask, Mismatch
from tests.benchmarks.client import Connection, Lap, lap
from tests.benchmarks.corpus import FEW_STUDIES, Corpus, Image, batches
from tests.benchmarks.scenarios import Batch, Scenario, Versus
from tests.benchmarks.servers import Kind, Server, running

FILM_STORES: Final = 3
PER_LOAD: Final = 20


@dataclass(slots=True)
class Side:
    """A server in one scenario, and what its laps came to."""

    name: str
    rates: list[float] = field(default_factory=list)
    """Units a second, one figure a lap."""
    medians: list[float] = field(default_factory=list)
    """Seconds of the median exchange, one figure a lap."""
    seconds: list[float] = field(default_factory=list)
    """Of every timed exchange."""
    units: int = 0
    server_cpu: float = 0.0
    client_cpu: float = 0.0
    wall: float = 0.0
    peak: float = 0.0
    """Megabytes of all its processes while the scenario ran."""
    over_idle: list[float] = field(default_factory=list)
    """Megabytes over idle, one figure a store; the memory scenario only."""

    def add(self, run: Lap, units: int) -> None:
        """Count a lap in."""
        seconds = [sample.seconds for samples in run.samples for sample in samples]
        self.rates.append(units / run.seconds)
        self.medians.append(median(seconds))
        self.seconds += seconds
        self.units += units
        self.server_cpu += run.server
        self.client_cpu += run.client
        self.wall += run.seconds


@dataclass(slots=True)
class Result:
    """What a scenario came to; the side that is judged is the last one, the one it is held against the first."""

    scenario: Scenario
    sides: Sequence[Side]
    beside: bool = False
    """Whether the first side is an earlier state of the judged one."""

    def ratios(self) -> list[float]:
        """One figure a pair of laps, as `versus` wants it; none where there is nothing to hold against.

        Beside an earlier state every ratio is above 1 where the judged side is better, also that of memory.
        """
        judged, other = self.sides[-1], self.sides[0]
        if self.beside and self.scenario.versus is Versus.IDLE:
            return [a / b for a, b in zip(other.over_idle, judged.over_idle, strict=True)]
        if self.scenario.versus is Versus.IDLE:
            return judged.over_idle
        if len(self.sides) < 2:
            return []
        if self.scenario.versus is Versus.FEW:
            return [b / a for a, b in zip(other.medians, judged.medians, strict=True)]
        return [b / a for a, b in zip(other.rates, judged.rates, strict=True)]


class Archive:
    """A server and the parts of the corpus it was given."""

    def __init__(self, server: Server, corpus: Corpus, name: str, studies: int | None = None) -> None:
        self.server = server
        self.name = name
        self._corpus = corpus
        self._studies = studies
        self._loaded: set[str] = set()

    def ensure(self, parts: Iterable[str]) -> None:
        """Store these parts of the corpus unless they are there."""
        for part in parts:
            if part not in self._loaded:
                self._load(getattr(self._corpus, part)[: self._studies])
                self._loaded.add(part)

    def _load(self, images: Sequence[Image]) -> None:
        check(self.server, [asks.store(batch) for batch in batches(images, PER_LOAD)])


def few(server: Server, corpus: Corpus) -> Archive:
    """An archive that is never given more than 300 small studies."""
    return Archive(server, corpus, f"{server.name}, {FEW_STUDIES} studies", FEW_STUDIES)


def check(server: Server, wanted: Iterable[Ask]) -> list[int]:
    """The size of each answer, all of them right."""
    with Connection(server.port) as connection:
        return [ask.check(server, connection) for ask in wanted]


def measure(scenario: Scenario, corpus: Corpus, archives: Sequence[Archive], pairs: int, seconds: float) -> Result:
    """Time the archives in turn, `pairs` times, after one lap that proves and warms and does not count.

    Every second pair begins with the other archive, so that a machine that slows down favours neither.
    """
    for archive in archives:
        archive.ensure(scenario.needs)
    sides = [Side(archive.name) for archive in archives]
    batch = scenario.plan(corpus, f"{scenario.name}/proof")
    sizes = [_prove(archive.server, batch) for archive in archives]
    for archive in archives:
        processes.forget_peak(archive.server.pid)
    for pair in range(-1, pairs):
        if scenario.stores:
            batch = scenario.plan(corpus, f"{scenario.name}/{pair}")
        turns = list(zip(archives, sides, sizes, strict=True))
        for archive, side, expected in turns if pair % 2 == 0 else reversed(turns):
            run = _lap(archive.server, batch, None if scenario.stores else seconds)
            units = _audit(archive.server, batch, run, None if scenario.stores else expected)
            check(archive.server, batch.afterwards)
            if pair >= 0:
                side.add(run, units)
    for archive, side in zip(archives, sides, strict=True):
        side.peak = processes.peak(archive.server.pid)
    return Result(scenario, sides)


def measure_memory(scenario: Scenario, corpus: Corpus, kinds: Sequence[Kind]) -> Result:
    """Resident memory over idle of fresh servers, each of which has stored a few slices to be awake."""
    return Result(scenario, [_memory_of(kind, scenario, corpus) for kind in kinds])


def _memory_of(kind: Kind, scenario: Scenario, corpus: Corpus) -> Side:
    side = Side(kind.name)
    with running(kind) as server:
        awake = [[asks.store([image]) for image in corpus.slices[client:24:8]] for client in range(8)]
        _audit(server, Batch(awake), _lap(server, Batch(awake), None), None)
        idle = processes.resident(server.pid)
        for number in range(FILM_STORES):
            batch = scenario.plan(corpus, f"{scenario.name}/{number}")
            processes.forget_peak(server.pid)
            run = _lap(server, batch, None)
            side.peak = max(side.peak, processes.peak(server.pid))
            side.over_idle.append(processes.peak(server.pid) - idle)
            side.add(run, _audit(server, batch, run, None))
            check(server, batch.afterwards)
    return side


def _prove(server: Server, batch: Batch) -> list[list[int]]:
    """The sizes of right answers, client by client."""
    sizes = [check(server, client) for client in batch.clients]
    check(server, batch.afterwards)
    return sizes


def _lap(server: Server, batch: Batch, seconds: float | None) -> Lap:
    return lap(server, [[ask.wire(server) for ask in client] for client in batch.clients], seconds)


def _audit(server: Server, batch: Batch, run: Lap, sizes: list[list[int]] | None) -> int:
    """The units a lap came to; raises Mismatch if an answer was not 200 or not of the size that was proved right."""
    units = 0
    for client, samples in enumerate(run.samples):
        for sample in samples:
            ask = batch.clients[client][sample.request]
            if sample.status != 200 or (sizes and sample.size != sizes[client][sample.request]):
                raise Mismatch(f"{server.name} {ask.path}: {sample.status} with {sample.size} bytes")
            units += ask.units
    return units
