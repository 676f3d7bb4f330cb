"""Write ceilings and costs into `infra/README.md`: `python -m tests.capacity.readme`.

The numbers are counted on the model of DynamoDB. The prices are list prices of us-east-1, on demand.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from app.storage.table.ports import Item
from tests.capacity.reads import ReadCost, filled_archive
from tests.capacity.units import size_of
from tests.capacity.workloads import Cost, Workloads, all_costs

MANUAL: Final = Path(__file__).parents[2] / "infra" / "README.md"
BEGIN: Final = "<!-- made by: make costs -->"
END: Final = "<!-- end of what make costs writes -->"

WRITE_PRICE: Final = 0.625
"""US dollars for a million write units."""
READ_PRICE: Final = 0.125
"""US dollars for a million read units."""
PUT_PRICE: Final = 5.0
"""US dollars for a million PUTs."""
TABLE_PRICE: Final = 0.25
"""US dollars for a gigabyte of the table and a month."""
OVERHEAD_BYTES: Final = 100
"""What DynamoDB adds to the size of each item when it bills storage."""

STUDIES: Final = 30_000
"""Studies of the archive that is searched."""


class AtRest(NamedTuple):
    """What one instance takes in the table."""

    items: float
    bytes: float


def main() -> None:
    with TemporaryDirectory() as folder, filled_archive(Path(folder), STUDIES) as archive:
        reads = list(archive.all_costs())
    text = "\n".join([*stores(all_costs()), "", *searches(reads), "", *at_rest(stored_bytes())])
    MANUAL.write_text(replaced(MANUAL.read_text(), text))


def replaced(manual: str, text: str) -> str:
    """Return the manual with this text between the two marks. Raises ValueError if it lacks one of them."""
    before, _, rest = manual.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{MANUAL.name} lacks the marks {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def stores(costs: list[Cost]) -> Iterator[str]:
    """Yield the table of what stores and deletions cost and how many one archive takes."""
    yield "| One instance | Write units | Read units | Calls | The busiest key | Ceiling, instances/s | $ a million |"
    yield "|---|---|---|---|---|---|---|"
    for cost in costs:
        name, busiest = max(cost.families.items(), key=lambda each: each[1].hottest_key)
        puts = 0.0 if cost.name.startswith("deletion") else PUT_PRICE
        price = cost.write_units * WRITE_PRICE + cost.read_units * READ_PRICE + puts
        yield (
            f"| {cost.name} | {cost.write_units:.1f} | {cost.read_units:.1f} | {cost.calls:.1f} | `{name}` "
            f"| {busiest.ceiling:,.0f} | {price:.2f} |"
        )


def searches(costs: list[ReadCost]) -> Iterator[str]:
    """Yield the table of what a page of a search costs."""
    yield f"| A page of 100 studies, of {STUDIES:,} | Read units | Calls | $ a million |"
    yield "|---|---|---|---|"
    for cost in costs:
        yield f"| {cost.name} | {cost.read_units:,} | {cost.calls:,} | {cost.read_units * READ_PRICE:,.2f} |"


def at_rest(stored: AtRest) -> Iterator[str]:
    """Yield what a million instances cost in a month, besides their files."""
    gigabytes = stored.bytes / 1000
    yield (
        f"At rest an instance has {stored.items:.1f} items of {stored.bytes:,.0f} bytes in all in the table: "
        f"{gigabytes:.1f} GB and ${gigabytes * TABLE_PRICE:.2f} a month for a million instances."
    )


def stored_bytes() -> AtRest:
    """Return what an instance of a series of many instances takes in the table, as DynamoDB bills it."""
    workloads = Workloads()
    before = list(workloads.table.items())
    instances = workloads.known_series(20).instances
    workloads.archive.work()
    after = list(workloads.table.items())
    return AtRest((len(after) - len(before)) / instances, (_billed(after) - _billed(before)) / instances)


def _billed(items: list[Item]) -> int:
    return sum(size_of(item) + OVERHEAD_BYTES for item in items)


if __name__ == "__main__":
    main()
