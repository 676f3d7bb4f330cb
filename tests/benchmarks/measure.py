"""Runs a scenario: stores what it needs, checks that the answers are right, then times the servers in turn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from tests.benchmarks import calls, processes
from tests.benchmarks.calls import Call, Mismatch
from tests.benchmarks.client import Connection, Lap, lap
from tests.benchmarks.corpus import FEW_STUDIES, Corpus, Image, batches
from tests.benchmarks.scenarios import Batch, Scenario, Versus
from tests.benchmarks.servers import Kind, Server, running

PER_LOAD: Final = 20


@dataclass(slots=True)
class Side:
    """The figures of one server in one scenario."""

    name: str
    rates: list[float] = field(default_factory=list)
    """Units a second, for each lap."""
    medians: list[float] = field(default_factory=list)
    """The median of the seconds of an exchange, for each lap."""
    seconds: list[float] = field(default_factory=list)
    """The seconds of every timed exchange."""
    units: int = 0
    server_cpu: float = 0.0
    client_cpu: float = 0.0
    wall: float = 0.0
    peak: float = 0.0
    """Megabytes of all its processes while the scenario ran."""
    over_idle: list[float] = field(default_factory=list)
    """Megabytes above the idle server, for each store. Only the memory scenario has them."""

    def add(self, run: Lap, units: int) -> None:
        """Add the figures of a lap."""
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
    """The figures of a scenario. The last side is the measured one, the first is the one that it is compared with."""

    scenario: Scenario
    sides: Sequence[Side]
    beside: bool = False
    """Whether the first side is another checkout of Bulkhead."""

    def ratios(self) -> list[float]:
        """Return one ratio for each pair of laps, as `versus` defines it. It is empty if there is one side only.

        Beside another checkout every ratio is above 1 if the measured side is better, also that of memory.
        """
        measured, other = self.sides[-1], self.sides[0]
        if self.beside and self.scenario.versus is Versus.IDLE:
            return [a / b for a, b in zip(other.over_idle, measured.over_idle, strict=True)]
        if self.scenario.versus is Versus.IDLE:
            return measured.over_idle
        if len(self.sides) < 2:
            return []
        if self.scenario.versus is Versus.FEW:
            return [b / a for a, b in zip(other.medians, measured.medians, strict=True)]
        return [b / a for a, b in zip(other.rates, measured.rates, strict=True)]


class Archive:
    """A server, and the parts of the corpus that it has stored."""

    def __init__(self, server: Server, corpus: Corpus, name: str, studies: int | None = None) -> None:
        self.server = server
        self.name = name
        self._corpus = corpus
        self._studies = studies
        self._loaded: set[str] = set()

    def ensure(self, parts: Iterable[str]) -> None:
        """Store these parts of the corpus if the server does not have them."""
        for part in parts:
            if part not in self._loaded:
                self._load(getattr(self._corpus, part)[: self._studies])
                self._loaded.add(part)

    def _load(self, images: Sequence[Image]) -> None:
        check(self.server, [calls.store(batch) for batch in batches(images, PER_LOAD)])


def few(server: Server, corpus: Corpus) -> Archive:
    """Return an archive that never has more than 300 small studies."""
    return Archive(server, corpus, f"{server.name}, {FEW_STUDIES} studies", FEW_STUDIES)


def check(server: Server, wanted: Iterable[Call]) -> list[int]:
    """Return the size of each answer. Raises Mismatch if one is wrong."""
    with Connection(server.port) as connection:
        return [call.check(server, connection) for call in wanted]


def measure(scenario: Scenario, corpus: Corpus, archives: Sequence[Archive], pairs: int, seconds: float) -> Result:
    """Time the archives in turn, `pairs` times. A first lap warms the servers and does not count.

    Every second pair begins with the other archive. So a machine that becomes slower does not favour one of them.
    """
    for archive in archives:
        archive.ensure(scenario.needs)
    sides = [Side(archive.name) for archive in archives]
    batch = scenario.plan(corpus, f"{scenario.name}/check")
    sizes = [_check_answers(archive.server, batch) for archive in archives]
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
    """Measure the memory of new servers above their idle memory. Each has stored a few slices before."""
    return Result(scenario, [_memory_of(kind, scenario, corpus) for kind in (kinds[-1:] if scenario.alone else kinds)])


def _memory_of(kind: Kind, scenario: Scenario, corpus: Corpus) -> Side:
    side = Side(kind.name)
    with running(kind) as server:
        warm = [[calls.store([image]) for image in corpus.slices[client:24:8]] for client in range(8)]
        _audit(server, Batch(warm), _lap(server, Batch(warm), None), None)
        idle = processes.resident(server.pid)
        for number in range(scenario.turns):
            batch = scenario.plan(corpus, f"{scenario.name}/{number}")
            check(server, batch.before)
            processes.forget_peak(server.pid)
            run = _lap(server, batch, None)
            side.peak = max(side.peak, processes.peak(server.pid))
            side.over_idle.append(processes.peak(server.pid) - idle)
            side.add(run, _audit(server, batch, run, None))
            check(server, batch.afterwards)
    return side


def _check_answers(server: Server, batch: Batch) -> list[list[int]]:
    """Check the answers and return their sizes, for each client."""
    sizes = [check(server, client) for client in batch.clients]
    check(server, batch.afterwards)
    return sizes


def _lap(server: Server, batch: Batch, seconds: float | None) -> Lap:
    return lap(server, [[call.wire(server) for call in client] for client in batch.clients], seconds)


def _audit(server: Server, batch: Batch, run: Lap, sizes: list[list[int]] | None) -> int:
    """Return the units of a lap. Raises Mismatch if an answer is not 200 or has another size than the checked one."""
    units = 0
    for client, samples in enumerate(run.samples):
        for sample in samples:
            call = batch.clients[client][sample.request]
            if sample.status != 200 or (sizes and sample.size != sizes[client][sample.request]):
                raise Mismatch(f"{server.name} {call.path}: {sample.status} with {sample.size} bytes")
            units += call.units
    return units
