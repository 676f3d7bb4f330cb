"""What a store, a deletion and a bulk update cost on DynamoDB, counted on the model of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from tests.capacity.archive import ModelArchive, Slices, number_uid
from tests.capacity.memory_table import MemoryTable
from tests.capacity.metered_table import KEY_WRITES, Meter, MeteredTable

REQUESTS: Final = 24
"""Requests of each workload that are counted."""


class Cost(NamedTuple):
    """What one instance of a workload costs. `families` are units by family of partition keys, with its hottest key."""

    name: str
    instances: int
    write_units: float
    read_units: float
    calls: float
    families: dict[str, FamilyCost]


class FamilyCost(NamedTuple):
    """The write units of a family for one instance: of all its keys, and of the key with the most."""

    all_keys: float
    hottest_key: float

    @property
    def ceiling(self) -> float:
        """The instances that the hottest key takes in a second."""
        return KEY_WRITES / self.hottest_key


def family(pk: str) -> str:
    """Return the family of a partition key: UIDs and numbers are replaced by their names."""
    pk = re.sub(r"\d+(\.\d+){2,}", "{UID}", pk)
    pk = re.sub(r"[0-9a-f]{32}", "{id}", pk)
    pk = re.sub(r"\d{4}-\d\d-\d\dT\d\d", "{hour}", pk)
    pk = re.sub(r"~\d+$", "~{k}", pk)
    return re.sub(r"(?<=/)\d{1,7}(?=/|$)", "{k}", re.sub(r"^\d+/", "{p}/", pk))


def cost_of(name: str, meter: Meter, instances: int) -> Cost:
    """Return the cost of one of these instances."""
    of_family: dict[str, Counter[str]] = {}
    for pk, units in meter.writes.items():
        of_family.setdefault(family(pk), Counter())[pk] += units
    families = {
        each: FamilyCost(units.total() / instances, max(units.values()) / instances)
        for each, units in sorted(of_family.items())
    }
    calls = meter.calls.total() / instances
    return Cost(name, instances, meter.write_units / instances, meter.read_units / instances, calls, families)


class Workloads:
    """Workloads in one partition of a new archive. Each returns its cost."""

    def __init__(self) -> None:
        self.table = MeteredTable(MemoryTable())
        self.archive = ModelArchive(self.table)
        self.partition = self.archive.partition("clinic")
        self._slices = Slices()
        self._studies = 0

    def known_series(self, batch: int) -> Cost:
        """Store requests of `batch` instances into a series that exists."""
        study, series = self._new_study()
        self._store(study, series, batch)
        self.archive.work()

        def store() -> int:
            return sum(self._store(study, series, batch) for _ in range(REQUESTS))

        return self._counted(f"known series, {batch} in a request", store)

    def new_studies(self, batch: int = 1) -> Cost:
        """Store new studies of one series, of `batch` instances in one request each."""
        self._store(*self._new_study(), batch)
        self.archive.work()

        def store() -> int:
            return sum(self._store(*self._new_study(), batch) for _ in range(REQUESTS))

        return self._counted(f"new study of {batch} instances", store)

    def deletion(self, batch: int) -> Cost:
        """Delete a study of `batch` instances."""
        study, series = self._new_study()
        self._store(study, series, batch)
        self.archive.work()

        def delete() -> int:
            self.archive.services.delete(self.partition, study)
            return batch

        return self._counted(f"deletion of a study of {batch} instances", delete)

    def _new_study(self) -> tuple[str, str]:
        self._studies += 1
        return number_uid(1, self._studies), number_uid(2, self._studies)

    def _store(self, study: str, series: str, batch: int) -> int:
        stored = self.archive.store(self.partition, [self._slices.new(study, series) for _ in range(batch)])
        assert stored == batch
        return stored

    def _counted(self, name: str, act: Callable[[], int]) -> Cost:
        """Count the calls of `act` and of the background work after it. `act` returns the number of instances."""
        self.table.meter = Meter()
        instances = act()
        self.archive.work()
        return cost_of(name, self.table.meter, instances)


def all_costs() -> list[Cost]:
    """Return the cost of each workload."""
    workloads = Workloads()
    return [
        workloads.known_series(1),
        workloads.known_series(12),
        workloads.known_series(20),
        workloads.new_studies(1),
        workloads.new_studies(20),
        workloads.deletion(1),
        workloads.deletion(100),
    ]
