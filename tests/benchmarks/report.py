"""The results of the benchmark as a text table and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from tests.benchmarks.measure import Result, Side
from tests.benchmarks.scenarios import Bar, Versus

NOISE: Final = 0.15
"""A ratio that is nearer to its limit than this may be on either side of it."""

ALIKE: Final = 0.05
"""The ratio of two runs of the same program differs from 1 by up to this."""

FEWEST: Final = 5
"""Fewer pairs do not show whether something is slower."""

COLUMNS: Final = f"{'':36}{'rate/s':>9}{'p50':>9}{'p95':>9}{'p99':>9}{'CPU':>9}{'client':>8}{'peak':>8}"
LEGEND: Final = """\
rate: instances a second for stores, answers a second for reads; the median of the laps. p50, p95, p99: milliseconds of
an exchange, over all laps. CPU: milliseconds of the server's processes per unit. client: CPU time of the clients over
wall time; they share the cores with the server. peak: MB, the sum of VmHWM of the server's processes during the
scenario. ratio: median of the ratios of the pairs of laps, and their range. Differences under 15 % are noise."""


BESIDE: Final = """\
Beside another checkout every ratio is above 1 if this checkout is better: more instances or answers a second, or less
memory. SLOWER: it is below 1 in every pair of at least five, and its median is below 0.95. CPU: the same of the CPU
time per unit, all laps together."""


def environment() -> str:
    """Return a line that describes the machine."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    return f"{os.cpu_count()} cores, {model}, Linux {platform.release()}, Python {platform.python_version()}"


def text(result: Result) -> str:
    """Return the result of a scenario: a line with title and verdict, then a line for each server."""
    return "\n".join([f"{result.scenario.name}: {result.scenario.title}{_verdict(result)}", *map(_row, result.sides)])


def baseline_line(name: str, milliseconds: float) -> str:
    """Return the line of one operation of the baseline."""
    return f"  {name:70}{milliseconds:9.3f} ms"


def document(results: Iterable[Result], baseline: dict[str, float]) -> dict[str, Any]:
    """Return everything that the table says, and the rate of each lap, as JSON."""
    return {
        "environment": environment(),
        "baseline_ms": baseline,
        "scenarios": {result.scenario.name: _entry(result) for result in results},
    }


def missed(result: Result) -> bool:
    """Return whether the ratio misses its limit; beside another checkout, whether this one is slower."""
    if result.beside:
        return _slower(result.ratios())
    bar, ratio = result.scenario.bar, _ratio(result)
    return bar is not None and ratio is not None and not _meets(result.scenario.versus, bar, ratio)


def _ratio(result: Result) -> float | None:
    """Return the figure that is compared with the limit: the worst store for memory, otherwise the median."""
    ratios = result.ratios()
    if not ratios:
        return None
    if result.beside:
        return median(ratios)
    return max(ratios) if result.scenario.versus is Versus.IDLE else median(ratios)


def _cpu_ratio(result: Result) -> float:
    """Return the CPU time per unit of the first side over that of the measured side. Other load hardly changes it."""
    other, measured = result.sides[0], result.sides[-1]
    return (other.server_cpu / other.units) / max(measured.server_cpu / measured.units, 1e-9)


def _slower(ratios: Sequence[float]) -> bool:
    """Return whether every pair is slower, and the median is further below 1 than chance explains."""
    return len(ratios) >= FEWEST and max(ratios) < 1 and median(ratios) < 1 - ALIKE


def _meets(versus: Versus, bar: Bar, ratio: float) -> bool:
    return ratio >= bar.required if versus is Versus.PEER else ratio <= bar.required


def _verdict(result: Result) -> str:
    ratio, bar, versus = _ratio(result), result.scenario.bar, result.scenario.versus
    if ratio is None:
        return ""
    ratios = result.ratios()
    if result.beside:
        word = " | SLOWER" if _slower(ratios) else ""
        return f" | {ratio:.2f}x ({min(ratios):.2f} to {max(ratios):.2f}), CPU {_cpu_ratio(result):.2f}x{word}"
    unit = " MB" if versus is Versus.IDLE else "x"
    found = f" | {ratio:.2f}{unit} ({min(ratios):.2f} to {max(ratios):.2f})"
    if bar is None:
        return found
    word = "PASS" if _meets(versus, bar, ratio) else "MISS"
    near = ", within noise of the bar" if abs(ratio / bar.required - 1) < NOISE else ""
    limit = "at least" if versus is Versus.PEER else "at most"
    return f"{found} | {limit} {bar.required:g}, aim {bar.aim:g} | {word}{near}"


def _row(side: Side) -> str:
    p50, p95, p99 = _percentiles(side.seconds)
    rate, cpu, client = median(side.rates), 1_000 * side.server_cpu / side.units, side.client_cpu / side.wall
    return (
        f"    {side.name:32}{rate:9.1f}{1_000 * p50:9.2f}{1_000 * p95:9.2f}{1_000 * p99:9.2f}"
        f"{cpu:9.2f}{client:8.0%}{side.peak:8.0f}"
    )


def _percentiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    if len(seconds) == 1:  # `quantiles` of Python before 3.13 needs two
        return seconds[0], seconds[0], seconds[0]
    cuts = quantiles(seconds, n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98]


def _entry(result: Result) -> dict[str, Any]:
    bar = result.scenario.bar
    return {
        "title": result.scenario.title,
        "versus": result.scenario.versus.value,
        "required": bar and bar.required,
        "aim": bar and bar.aim,
        "ratio": _ratio(result),
        "ratios": result.ratios(),
        "cpu_ratio": _cpu_ratio(result) if result.beside else None,
        "missed": missed(result),
        "sides": [_side(side) for side in result.sides],
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "rates": side.rates,
        "percentiles_ms": [1_000 * value for value in _percentiles(side.seconds)],
        "server_cpu_ms_per_unit": 1_000 * side.server_cpu / side.units,
        "client_cpu_share": side.client_cpu / side.wall,
        "peak_mb": side.peak,
        "over_idle_mb": side.over_idle,
    }
