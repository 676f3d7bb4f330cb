"""The command line of the campaign: `make torture ARGS="--minutes 5 --engine embedded --seed 7"`."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time

from tests.torture import engines
from tests.torture.campaign import Plan, new_folder, run
from tests.torture.checks import KEPT, ONE_ENTRY
from tests.torture.journal import ACKNOWLEDGED, Journal


def main() -> int:
    """Run the campaign on each engine. Return 1 if an invariant was violated."""
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long the workload runs on each engine")
    parser.add_argument(
        "--engine", choices=engines.NAMES, action="append", help="may be repeated; default: all that are installed"
    )
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--rate", type=float, default=0.005, help="probability of a fault at each call; 0: no faults")
    parser.add_argument("--skew", type=float, default=60.0, help="largest error of a clock, in seconds")
    parser.add_argument("--kill-seconds", type=float, default=6.0, help="mean time between two kills; 0: no kills")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.randrange(10**6)
    failed = False
    for name in given.engine or engines.installed():
        plan = Plan(
            engine=name,
            seed=seed,
            seconds=60 * given.minutes,
            clients=given.clients,
            rate=given.rate,
            skew=given.skew,
            kill_seconds=given.kill_seconds,
        )
        failed |= _run(plan)
    return int(failed)


def _run(plan: Plan) -> bool:
    """Run one plan and print its report. Return whether an invariant was violated."""
    journal, folder, started = Journal(plan.seed), new_folder(plan), time.monotonic()
    print(f"{plan.engine}: seed {plan.seed}, folder {folder}", flush=True)  # noqa: T201 - the report
    run(plan, journal, folder)
    print(report(plan, journal, time.monotonic() - started), flush=True)  # noqa: T201
    if journal.violations:
        print(f"The folder is kept: {folder}", flush=True)  # noqa: T201
    else:
        shutil.rmtree(folder)
    return bool(journal.violations)


def report(plan: Plan, journal: Journal, seconds: float) -> str:
    """Return the report of a run."""
    lines = [f"{plan.engine}: seed {plan.seed}, {seconds:.0f} seconds, {sum(journal.answers.values())} requests"]
    lost, doubled = journal.violated(KEPT), journal.violated(ONE_ENTRY)
    lines.append(f"  acknowledged stores: {journal.counts[ACKNOWLEDGED]}, lost: {lost}, doubled: {doubled}")
    lines += [f"  {what}: {count}" for what, count in sorted(journal.counts.items()) if what != ACKNOWLEDGED]
    statuses = sorted({status for _, status in journal.answers})
    for status in statuses:
        kinds = sorted((count, kind) for (kind, each), count in journal.answers.items() if each == status)
        detail = ", ".join(f"{kind} {count}" for count, kind in reversed(kinds))
        lines.append(f"  status {status}: {journal.total(status)} ({detail})")
    lines.append(f"  violations: {len(journal.violations)}")
    lines += [f"  VIOLATION {each}" for each in journal.violations[:40]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
