"""Send a million fuzzed requests: `python -m tests.fuzz --requests 1000000`. See `--help`."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

import click

from tests.fuzz.campaign import REQUESTS_A_ROUND, Findings, run_round
from tests.fuzz.sockets import send_raw


def main() -> int:
    """Run the campaigns. Return 1 if any request found a failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000, help="number of requests to the application")
    parser.add_argument("--raw", type=int, default=20_000, help="number of malformed messages to a real server")
    parser.add_argument("--processes", type=int, default=2, help="number of processes that send requests")
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(1 << 31), help="what all random choices follow from"
    )
    options = parser.parse_args()
    click.echo(f"seed {options.seed}")
    found, started, died = Findings(), time.monotonic(), 0
    sizes = [min(REQUESTS_A_ROUND, options.requests - at) for at in range(0, options.requests, REQUESTS_A_ROUND)]
    with ProcessPoolExecutor(options.processes, max_tasks_per_child=1) as pool:
        rounds = [
            pool.submit(run_round, options.seed + at, size, faults=at % 4 == 3, callers=at % 2 == 1)
            for at, size in enumerate(sizes)
        ]
        for number, each in enumerate(as_completed(rounds), 1):
            try:
                found.add(each.result())
            except BrokenProcessPool:
                died += 1
            done = f"{found.statuses.total():,} requests, {len(found.failures)} failures"
            click.echo(f"{number * 100 // len(rounds):3d} % {done}")
    raw = send_raw(options.raw, options.seed)
    found.add(raw)
    _report(found, time.monotonic() - started, died)
    return 1 if found.failures or died else 0


def _report(found: Findings, seconds: float, died: int) -> None:
    click.echo(f"\n{found.statuses.total():,} requests in {seconds:.0f} s; {died} processes died")
    click.echo("statuses: " + ", ".join(f"{status}: {count:,}" for status, count in sorted(found.statuses.items())))
    warm, end = found.warm_memory >> 20, found.memory >> 20
    click.echo(f"largest memory of a process: {warm} MiB after the warm-up, {end} MiB at the end")
    for kind, request in found.failures.items():
        click.echo(f"\nFAILURE {kind}\n  {request}")
    if not found.failures:
        click.echo("no failure")


if __name__ == "__main__":
    sys.exit(main())
