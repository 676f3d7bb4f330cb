"""What an instance may cost on DynamoDB: write units as DynamoDB counts them, with the change feed and the sweep."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.storage.table import keys
from tests.capacity.workloads import Cost, Workloads

BUDGETS: dict[str, tuple[float, Callable[[Workloads], Cost]]] = {
    "an instance alone, in a known series": (13.0, lambda workloads: workloads.known_series(1)),
    "12 in a request": (8.0, lambda workloads: workloads.known_series(12)),
    "20 in a request": (8.0, lambda workloads: workloads.known_series(20)),
    "a new study of one instance": (45.0, lambda workloads: workloads.new_studies(1)),
    "a new study of 20": (8.5, lambda workloads: workloads.new_studies(20)),
    "the deletion of a study of 100": (8.0, lambda workloads: workloads.deletion(100)),
}
"""The most write units of one instance. A CT slice has 140 elements; its metadata takes two units."""


@pytest.mark.parametrize("case", BUDGETS)
def test_an_instance_stays_within_its_budget(case: str) -> None:
    budget, run = BUDGETS[case]
    cost = run(Workloads())
    assert cost.write_units <= budget, cost.families


def test_no_key_is_written_for_each_instance_of_a_batch() -> None:
    """The keys that all commits share take a part of a unit for each instance, so they never are the limit."""
    families = Workloads().known_series(12).families
    for shared in ("counters", "feed/head", "{p}/statistics"):
        assert families[shared].hottest_key <= 0.2


def test_deletions_spread_their_records_of_the_sweep() -> None:
    workloads = Workloads()
    used = set()
    for _ in range(12):
        workloads.deletion(1)
        used |= workloads.table.meter.writes.keys() & set(keys.SWEEPS)
    assert len(used) > 2
