"""A worklist of 10 workitems against one of 10,000: what growth costs a creation and a search.

python -m tests.benchmarks.worklist            the full measurement
python -m tests.benchmarks.worklist --quick    a try-out
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from statistics import median
from time import perf_counter
from typing import Final

import click

from tests.benchmarks.client import Connection, Response, Wire
from tests.benchmarks.servers import BUILD, Server, bulkhead, running
from tests.support.workitems import Dataset, code, name, requested, sequence, text, workitem

FEW: Final = 10
MANY: Final = 10_000
BAR: Final = 1.2
"""How many times as long the median may take in the large worklist."""

ROUND: Final = 10
"""Exchanges with one worklist before the other one follows."""

SEARCHES: Final = {
    "by state": "ProcedureStepState=SCHEDULED&limit=10",
    "by patient": "PatientID=P{}",
    "by accession number": "ReferencedRequestSequence.AccessionNumber=A{}",
    "by state and station": "ProcedureStepState=SCHEDULED&ScheduledStationNameCodeSequence.CodeValue=CT1&limit=3",
    "by time": "ScheduledProcedureStepStartDateTime=20240101-&limit=10",
    "by fuzzy name": "PatientName=N{}&fuzzymatching=true&limit=10",
    "newest": "limit=10",
}

Made = Callable[[], int]
"""The number of the next workitem."""


@dataclass(slots=True)
class Figures:
    """Seconds of each exchange, in the small worklist and in the large one."""

    few: list[float] = field(default_factory=list)
    many: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The median in the large worklist over the median in the small one."""
        return median(self.many) / median(self.few)


def figures(rounds: int, many: int = MANY) -> Iterator[tuple[str, Figures]]:
    """Yield the figures of a creation and of each search. One client calls the two worklists in turn, over HTTP."""
    with running(bulkhead(BUILD.parent, "Bulkhead")) as server, Connection(server.port) as connection:
        numbers = count(1)

        def made() -> int:
            return next(numbers)

        for _ in range(many):
            _exchange(connection, _create(server, "many", made), 201)
        yield "create", _creations(server, connection, made, rounds)
        _fill(server, connection, "few", made)
        for title, query in SEARCHES.items():
            yield title, _searched(server, connection, query, rounds)


def _creations(server: Server, connection: Connection, made: Made, rounds: int) -> Figures:
    """Each round has a new small worklist, because creations make it larger."""
    found = Figures()
    for number in range(rounds):
        small = f"few-{number}"
        _fill(server, connection, small, made)
        found.few += [_exchange(connection, _create(server, small, made), 201) for _ in range(ROUND)]
        found.many += [_exchange(connection, _create(server, "many", made), 201) for _ in range(ROUND)]
    return found


def _fill(server: Server, connection: Connection, partition: str, made: Made) -> None:
    for _ in range(FEW):
        _exchange(connection, _create(server, partition, made), 201)


def _searched(server: Server, connection: Connection, query: str, rounds: int) -> Figures:
    """Both worklists have the workitems that a search looks for. In the small one they are the newest."""
    found = Figures()
    newest = {partition: _numbers(connection, server, partition) for partition in ("few", "many")}
    chosen = random.Random(1)
    for _ in range(rounds):
        for partition, seconds in (("few", found.few), ("many", found.many)):
            for _ in range(ROUND):
                asked = query.format(chosen.choice(newest[partition]))
                seconds.append(_exchange(connection, _get(server, partition, asked), 200))
    return found


def _numbers(connection: Connection, server: Server, partition: str) -> list[int]:
    answer = connection.exchange(_get(server, partition, "limit=10"), keep=True)
    return [int(row["00100020"]["Value"][0][1:]) for row in json.loads(answer.body)]


def _exchange(connection: Connection, request: Wire, status: int) -> float:
    start = perf_counter()
    answer: Response = connection.exchange(request)
    seconds = perf_counter() - start
    if answer.status != status:
        raise RuntimeError(f"{answer.status} for {request[0].splitlines()[0]!r}")
    return seconds


def _dataset(number: int) -> Dataset:
    return workitem(
        T00100020=text("LO", f"P{number}"),
        T00100010=name(f"N{number}^Ann"),
        T0040A370=sequence(requested(f"A{number}")),
        T00404005=text("DT", f"202401{number % 28 + 1:02}{number % 24:02}{number % 60:02}"),
        T00404025=sequence(code(f"CT{number % 3}")),
        T0020000D=text("UI", f"2.25.9{number}"),
    )


def _create(server: Server, partition: str, made: Made) -> Wire:
    number = made()
    body = json.dumps([_dataset(number)]).encode()
    return _head(server, "POST", partition, f"2.25.{number}", len(body)), body


def _get(server: Server, partition: str, query: str) -> Wire:
    return _head(server, "GET", partition, query), b""


def _head(server: Server, method: str, partition: str, query: str, length: int | None = None) -> bytes:
    lines = [
        f"{method} /v2/partitions/{partition}/workitems?{query} HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Accept: application/dicom+json",
    ]
    if length is not None:
        lines += ["Content-Type: application/dicom+json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="A small worklist and few rounds: a try-out, not a measurement.")
def main(quick: bool) -> None:
    rounds, many = (2, 200) if quick else (20, MANY)
    click.echo(f"{'':22}{'10, p50 ms':>12}{f'{many}, p50 ms':>16}{'ratio':>8}")
    missed = []
    for title, found in figures(rounds, many):
        milliseconds = median(found.few) * 1000, median(found.many) * 1000
        click.echo(f"{title:22}{milliseconds[0]:12.3f}{milliseconds[1]:16.3f}{found.ratio:8.2f}")
        if found.ratio > BAR:
            missed.append(title)
    click.echo(f"\nmissed (ratio above {BAR}): {', '.join(missed) or 'nothing'}")


if __name__ == "__main__":
    main()
