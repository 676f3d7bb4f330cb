"""Bulkhead beside Orthanc: one corpus, each scenario in turn on both, the ratios and whether they do.

python -m tests.benchmarks                          every scenario, seven pairs
python -m tests.benchmarks --only 'search-*' store  some of them
python -m tests.benchmarks --beside ../before       an earlier state of Bulkhead in place of Orthanc
python -m tests.benchmarks --peer-only --quick      the benchmark itself, tried out on Orthanc

An earlier state is a directory with a checkout: `git worktree add ../before COMMIT`. Its own .venv is used if it has
one, else this interpreter. The growth scenarios hold one state against itself and are left out.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import click

from tests.benchmarks import report
from tests.benchmarks.corpus import Corpus
from tests.benchmarks.floors import floors
from tests.benchmarks.measure import Archive, Result, few, measure, measure_memory
from tests.benchmarks.scenarios import SCENARIOS, Scenario, Versus
from tests.benchmarks.servers import BUILD, ORTHANC, Kind, bulkhead, orthanc_installed, running

DISK: Final = 10_000_000_000
"""Bytes that the stores of a full run may take on both servers together, with room to spare."""


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--only", multiple=True, metavar="NAME", help="Scenarios to run, wildcards allowed; repeat for more.")
@click.argument("more", nargs=-1, metavar="[NAME]...")
@click.option("--pairs", default=7, show_default=True, type=click.IntRange(1), help="Laps on each side.")
@click.option("--seconds", default=0.8, show_default=True, help="Least length of a lap of reads.")
@click.option("--quick", is_flag=True, help="Two pairs of short laps: a try-out, not a measurement.")
@click.option("--peer-only", is_flag=True, help="Leave Bulkhead out and put Orthanc in its place.")
@click.option(
    "--beside",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="Hold Bulkhead against the checkout in this directory instead of Orthanc.",
)
@click.option("--no-floors", is_flag=True, help="Leave the floors of the machine out.")
@click.option("--json", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures there too.")
def main(
    only: tuple[str, ...],
    more: tuple[str, ...],
    pairs: int,
    seconds: float,
    quick: bool,
    peer_only: bool,
    beside: Path | None,
    no_floors: bool,
    target: Path | None,
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    chosen = _chosen(only + more, beside)
    kinds = [bulkhead(beside, beside.name), _this_state()] if beside else _kinds(peer_only)
    _room()
    corpus = Corpus()
    click.echo(f"{report.environment()}; {', then '.join(kind.name for kind in kinds)}")
    floor = {} if no_floors else dict(floors(corpus))
    for name, milliseconds in floor.items():
        click.echo(report.floor(name, milliseconds))
    click.echo(f"\n{report.LEGEND}\n{report.BESIDE if beside else ''}\n{report.COLUMNS}")
    if quick:
        pairs, seconds = 2, 0.2
    results = []
    for result in _results(chosen, corpus, kinds, pairs, seconds):
        result.beside = beside is not None
        results.append(result)
        click.echo(report.text(result))
    if target:
        target.write_text(json.dumps(report.document(results, floor), indent=2))
    names = [result.scenario.name for result in results if report.missed(result)]
    click.echo(f"\n{'slower' if beside else 'missed'}: {', '.join(names) or 'nothing'}")


def _chosen(patterns: Sequence[str], beside: Path | None) -> list[Scenario]:
    there = [s for s in SCENARIOS if not (beside and s.versus is Versus.FEW)]
    chosen = [s for s in there if not patterns or any(fnmatch(s.name, pattern) for pattern in patterns)]
    if not chosen:
        raise click.BadParameter(f"no such scenario; there are {', '.join(s.name for s in there)}")
    return chosen


def _kinds(peer_only: bool) -> list[Kind]:
    """The peer, where there is one, then the server that is judged."""
    if orthanc_installed():
        return [ORTHANC] if peer_only else [ORTHANC, _this_state()]
    if peer_only:
        raise click.UsageError("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    click.echo("Orthanc is not installed (apt-get install orthanc orthanc-dicomweb): Bulkhead alone.")
    return [_this_state()]


def _this_state() -> Kind:
    return bulkhead(BUILD.parent, "Bulkhead")


def _room() -> None:
    BUILD.mkdir(exist_ok=True)
    if shutil.disk_usage(BUILD).free < DISK:
        raise click.ClickException(f"{BUILD} needs {DISK // 10**9} GB of free disk")


def _results(
    chosen: Sequence[Scenario], corpus: Corpus, kinds: Sequence[Kind], pairs: int, seconds: float
) -> Iterator[Result]:
    """Memory first, on servers of its own; then the peer's scenarios, then growth."""
    groups = {versus: [s for s in chosen if s.versus is versus] for versus in Versus}
    for scenario in groups[Versus.IDLE]:
        yield measure_memory(scenario, corpus, kinds)
    with ExitStack() as stack:
        archives = [Archive(stack.enter_context(running(kind)), corpus, kind.name) for kind in kinds]
        for scenario in groups[Versus.PEER]:
            yield measure(scenario, corpus, archives, pairs, seconds)
        if groups[Versus.FEW]:
            judged = archives[-1]
            sides = [few(stack.enter_context(running(kinds[-1])), corpus), judged]
            for scenario in groups[Versus.FEW]:
                yield measure(scenario, corpus, sides, pairs, seconds)


if __name__ == "__main__":
    main()
