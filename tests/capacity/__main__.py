"""Print what the archive costs on DynamoDB, and how much one archive takes. See `--help`.

python -m tests.capacity                      all tables
python -m tests.capacity --seconds 10         a shorter simulation
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.capacity.reads import FilledArchive, filled_archive
from tests.capacity.simulation import Load, Outcome, simulate
from tests.capacity.workloads import Cost, all_costs

_FAMILIES = 12
"""Families of keys in the table of one workload."""

console = Console(width=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="seconds of the model to simulate (60)")
    parser.add_argument("--rate", type=int, default=5000, help="instances a second (5000)")
    parser.add_argument("--batch", type=int, default=12, help="instances in a request (12)")
    parser.add_argument("--writers", type=int, default=64, help="processes that store at the same time (64)")
    parser.add_argument("--studies", type=int, default=30_000, help="studies of the archive that is searched (30000)")
    given = parser.parse_args()
    costs = all_costs()
    console.print(overview(costs))
    for cost in costs:
        console.print(families(cost))
    load = Load(rate=given.rate, batch=given.batch, writers=given.writers, seconds=given.seconds)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Simulating", total=1.0)
        outcome = simulate(load, lambda part: progress.update(task, completed=part))
    console.print(keys_in_use(outcome))
    with TemporaryDirectory() as folder, filled_archive(Path(folder), given.studies) as archive:
        console.print(reads(archive))


def overview(costs: list[Cost]) -> Table:
    """Return the table of what one instance costs."""
    table = Table("workload", title="Units of DynamoDB for one instance")
    for name in ("write units", "read units", "calls", "hottest key", "ceiling, instances/s"):
        table.add_column(name, justify="right")
    for cost in costs:
        name, hottest = max(cost.families.items(), key=lambda each: each[1].hottest_key)
        numbers = (f"{cost.write_units:.1f}", f"{cost.read_units:.1f}", f"{cost.calls:.1f}")
        table.add_row(cost.name, *numbers, name, f"{hottest.ceiling:,.0f}")
    return table


def families(cost: Cost) -> Table:
    """Return the table of the keys that one workload writes."""
    table = Table("keys", title=cost.name)
    for name in ("write units an instance", "of the hottest key", "ceiling, instances/s"):
        table.add_column(name, justify="right")
    largest = sorted(cost.families.items(), key=lambda each: -each[1].all_keys)[:_FAMILIES]
    for name, units in largest:
        table.add_row(name, f"{units.all_keys:.2f}", f"{units.hottest_key:.3f}", f"{units.ceiling:,.0f}")
    return table


def keys_in_use(outcome: Outcome) -> Table:
    """Return the table of how busy the keys were in a simulation."""
    load = outcome.load
    title = (
        f"{load.rate} instances a second, {load.batch} a request, {load.writers} writers, {load.seconds} s: "
        f"{outcome.stored_rate:,.0f} stored a second, {outcome.write_units:.1f} write units each, "
        f"{outcome.refused_requests} requests refused"
    )
    table = Table("keys", title=title)
    table.add_column("of what the hottest key takes, in its worst second", justify="right")
    table.add_column("refused writes", justify="right")
    for name, share in list(outcome.peaks.items())[:_FAMILIES]:
        table.add_row(name, f"{share:.0%}", str(outcome.refused_keys.get(name, 0)))
    return table


def reads(archive: FilledArchive) -> Table:
    """Return the table of what a page of a search costs."""
    table = Table("search", title=f"Searches among {archive.studies:,} studies of one instance, 100 a page")
    for name in ("found", "read units", "calls", "ms on the embedded engine"):
        table.add_column(name, justify="right")
    for cost in archive.all_costs():
        table.add_row(cost.name, str(cost.found), f"{cost.read_units:,}", str(cost.calls), f"{cost.milliseconds:,.1f}")
    return table


if __name__ == "__main__":
    main()
