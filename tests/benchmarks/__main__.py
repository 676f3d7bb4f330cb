"""Bulkhead beside Orthanc: the same corpus and scenarios on both in alternation, and the ratios of their speed.

python -m tests.benchmarks                          every scenario, seven pairs
python -m tests.benchmarks --only 'search-*' store  some of them
python -m tests.benchmarks --beside ../before       another checkout of Bulkhead instead of Orthanc
python -m tests.benchmarks --peer-only --quick      Orthanc alone, to try the benchmark

To get another checkout: `git worktree add ../before COMMIT`. It runs on its own .venv, or on this interpreter if it has
none. The growth scenarios compare a server with itself, so `--beside` leaves them out.
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
from tests.benchmarks.baseline import measured_baseline
from tests.benchmarks.corpus import Corpus
from tests.benchmarks.measure import Archive, Result, few, measure, measure_memory
from tests.benchmarks.scenarios import SCENARIOS, Scenario, Versus
from tests.benchmarks.servers import BUILD, ORTHANC, Kind, bulkhead, orthanc_installed, running

DISK: Final = 10_000_000_000
"""Bytes of disk that a full run needs at most, on both servers together."""


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--only", multiple=True, metavar="NAME", help="Name of a scenario to run, with wildcards. May be repeated."
)
@click.argument("more", nargs=-1, metavar="[NAME]...")
@click.option("--pairs", default=7, show_default=True, type=click.IntRange(1), help="Timed laps on each server.")
@click.option("--seconds", default=0.8, show_default=True, help="Shortest time of a lap of reads.")
@click.option("--quick", is_flag=True, help="Two pairs of short laps, to try the benchmark.")
@click.option("--peer-only", is_flag=True, help="Run Orthanc alone.")
@click.option(
    "--beside",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="Compare with the checkout in this directory instead of Orthanc.",
)
@click.option("--no-baseline", is_flag=True, help="Do not measure the baseline of the machine.")
@click.option(
    "--json", "target", type=click.Path(dir_okay=False, path_type=Path), help="Also write the figures to this file."
)
def main(
    only: tuple[str, ...],
    more: tuple[str, ...],
    pairs: int,
    seconds: float,
    quick: bool,
    peer_only: bool,
    beside: Path | None,
    no_baseline: bool,
    target: Path | None,
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    chosen = _chosen(only + more, beside)
    kinds = [bulkhead(beside, beside.name), _this_checkout()] if beside else _kinds(peer_only)
    _room()
    corpus = Corpus()
    click.echo(f"{report.environment()}; {', then '.join(kind.name for kind in kinds)}")
    baseline = {} if no_baseline else dict(measured_baseline(corpus))
    for name, milliseconds in baseline.items():
        click.echo(report.baseline_line(name, milliseconds))
    click.echo(f"\n{report.LEGEND}\n{report.BESIDE if beside else ''}\n{report.COLUMNS}")
    if quick:
        pairs, seconds = 2, 0.2
    results = []
    for result in _results(chosen, corpus, kinds, pairs, seconds):
        result.beside = beside is not None
        results.append(result)
        click.echo(report.text(result))
    if target:
        target.write_text(json.dumps(report.document(results, baseline), indent=2))
    names = [result.scenario.name for result in results if report.missed(result)]
    click.echo(f"\n{'slower' if beside else 'missed'}: {', '.join(names) or 'nothing'}")


def _chosen(patterns: Sequence[str], beside: Path | None) -> list[Scenario]:
    there = [s for s in SCENARIOS if not (beside and s.versus is Versus.FEW)]
    chosen = [s for s in there if not patterns or any(fnmatch(s.name, pattern) for pattern in patterns)]
    if not chosen:
        raise click.BadParameter(f"no such scenario; there are {', '.join(s.name for s in there)}")
    return chosen


def _kinds(peer_only: bool) -> list[Kind]:
    """Return the peer if it is installed, then Bulkhead."""
    if orthanc_installed():
        return [ORTHANC] if peer_only else [ORTHANC, _this_checkout()]
    if peer_only:
        raise click.UsageError("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    click.echo("Orthanc is not installed (apt-get install orthanc orthanc-dicomweb): Bulkhead alone.")
    return [_this_checkout()]


def _this_checkout() -> Kind:
    return bulkhead(BUILD.parent, "Bulkhead")


def _room() -> None:
    BUILD.mkdir(exist_ok=True)
    if shutil.disk_usage(BUILD).free < DISK:
        raise click.ClickException(f"{BUILD} needs {DISK // 10**9} GB of free disk")


def _results(
    chosen: Sequence[Scenario], corpus: Corpus, kinds: Sequence[Kind], pairs: int, seconds: float
) -> Iterator[Result]:
    """Yield the results: memory first, on its own servers, then the comparison with the other server, then growth."""
    groups = {versus: [s for s in chosen if s.versus is versus] for versus in Versus}
    for scenario in groups[Versus.IDLE]:
        yield measure_memory(scenario, corpus, kinds)
    with ExitStack() as stack:
        archives = [Archive(stack.enter_context(running(kind)), corpus, kind.name) for kind in kinds]
        for scenario in groups[Versus.PEER]:
            yield measure(scenario, corpus, archives[-1:] if scenario.alone else archives, pairs, seconds)
        if groups[Versus.FEW]:
            judged = archives[-1]
            sides = [few(stack.enter_context(running(kinds[-1])), corpus), judged]
            for scenario in groups[Versus.FEW]:
                yield measure(scenario, corpus, sides, pairs, seconds)


if __name__ == "__main__":
    main()
