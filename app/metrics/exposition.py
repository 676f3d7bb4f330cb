"""The text that Prometheus scrapes: its own format, and OpenMetrics (conformance §1.15)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Final

from app.metrics import PROCESSES, cells, folder
from app.metrics.cells import Name
from app.metrics.kinds import Gauge, Histogram, Metric

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Value = tuple[Name, float]


def exposition(shared: Path | None, computed: Iterable[Value] = (), *, openmetrics: bool = False) -> bytes:
    """Return the values of all processes that share a folder, or those of this process without one.

    Numbers of one name are added. A gauge of a process that has died does not count. `computed` are further gauges.
    """
    sums: dict[Name, list[float]] = {}
    living = 0
    for content, lives in folder.contents(shared) if shared else [(Metric.cells.memory[:], True)]:
        living += lives
        for name, numbers in cells.values(content):
            metric = Metric.registry.get(name[0])
            if metric is None or (metric.kind == Gauge.kind and not lives):
                continue
            before = sums.get(name)
            sums[name] = [a + b for a, b in zip(before, numbers, strict=True)] if before else numbers
    for name, number in ((PROCESSES.name,), living), *computed:
        sums[name] = [number]
    return "".join(_lines(sums, openmetrics=openmetrics)).encode()


def _lines(sums: dict[Name, list[float]], *, openmetrics: bool) -> Iterator[str]:
    by_metric: dict[str, list[Name]] = {}
    for name in sorted(sums):
        by_metric.setdefault(name[0], []).append(name)
    for metric in Metric.registry.values():
        # OpenMetrics names the family of a counter without its suffix.
        family = metric.name.removesuffix("_total") if openmetrics else metric.name
        yield f"# HELP {family} {metric.meaning}\n# TYPE {family} {metric.kind}\n"
        for name in by_metric.get(metric.name, ()):
            yield from _samples(metric, name[1:], sums[name])
    if openmetrics:
        yield "# EOF\n"


def _samples(metric: Metric, labels: tuple[str, ...], numbers: list[float]) -> Iterator[str]:
    pairs = [f'{name}="{_escaped(value)}"' for name, value in zip(metric.labels, labels, strict=True)]
    if not isinstance(metric, Histogram):
        yield f"{metric.name}{_braces(pairs)} {_number(numbers[0])}\n"
        return
    *counts, total = numbers
    cumulative = list(accumulate(counts))
    for bound, count in zip((*map(repr, metric.bounds), "+Inf"), cumulative, strict=True):
        bucket = _braces([*pairs, f'le="{bound}"'])
        yield f"{metric.name}_bucket{bucket} {_number(count)}\n"
    yield f"{metric.name}_sum{_braces(pairs)} {_number(total)}\n"
    yield f"{metric.name}_count{_braces(pairs)} {_number(cumulative[-1])}\n"


def _braces(pairs: list[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
