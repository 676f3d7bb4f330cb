"""Counters, gauges and histograms. A declaration registers the metric. An addition takes less than a microsecond."""

from __future__ import annotations

from bisect import bisect_left
from typing import ClassVar, Final

from app.metrics.cells import Cells, in_memory


class Metric:
    """What all kinds have in common. `cells` holds the values of this process, of all metrics."""

    kind: ClassVar[str]
    cells: ClassVar[Cells] = in_memory()
    registry: ClassVar[dict[str, Metric]] = {}
    """Every metric by its name, in the order of declaration."""

    def __init__(self, name: str, meaning: str, labels: tuple[str, ...] = (), *, count: int = 1) -> None:
        self.name: Final = name
        self.meaning: Final = meaning
        self.labels: Final = labels
        self.count: Final = count
        """Numbers of one value: 1, and more for a histogram."""
        self._places: dict[tuple[str, ...], int] = {}
        Metric.registry[name] = self

    def value(self, *labels: str) -> float:
        """Return the value of this process, of a histogram the number of observations. For tests."""
        cells = Metric.cells
        with cells.lock:
            place = cells.place((self.name, *labels), self.count)
            return sum(cells.numbers[place : place + max(1, self.count - 1)])

    def _place(self, labels: tuple[str, ...]) -> int:
        """Return where the value of these labels is, and make a place for it at its first use."""
        cells = Metric.cells
        with cells.lock:
            place = self._places[labels] = cells.place((self.name, *labels), self.count)
        return place

    def forget_places(self) -> None:
        """Look every value up again. Call this when the process gets other cells."""
        self._places.clear()


class _Number(Metric):
    """What counters and gauges have in common: a value is one number."""

    def add(self, *labels: str, by: float = 1) -> None:
        """Add to the number of these labels. `by` may be negative for a gauge."""
        place = self._places.get(labels)
        if place is None:
            place = self._place(labels)
        cells = Metric.cells
        with cells.lock:
            cells.numbers[place] += by


class Counter(_Number):
    """A number that grows."""

    kind = "counter"


class Gauge(_Number):
    """A number that grows and shrinks. The numbers of all living processes are added."""

    kind = "gauge"

    def set(self, number: float, *labels: str) -> None:
        """Replace the number of these labels."""
        place = self._places.get(labels)
        if place is None:
            place = self._place(labels)
        Metric.cells.numbers[place] = number


class Histogram(Metric):
    """How many observations were in each range, and their sum. A value has one number for each bound, one for the rest
    and the sum."""

    kind = "histogram"

    def __init__(self, name: str, meaning: str, labels: tuple[str, ...], *, bounds: tuple[float, ...]) -> None:
        super().__init__(name, meaning, labels, count=len(bounds) + 2)
        self.bounds: Final = bounds

    def observe(self, seconds: float, *labels: str) -> None:
        """Count one observation."""
        place = self._places.get(labels)
        if place is None:
            place = self._place(labels)
        bucket = bisect_left(self.bounds, seconds)
        cells = Metric.cells
        with cells.lock:
            cells.numbers[place + bucket] += 1
            cells.numbers[place + self.count - 1] += seconds


def use(cells: Cells) -> None:
    """Keep the values of this process in these cells from now on. Gauges begin at 0.

    Call this before the process has a second thread. The cells may have values of a process that died. Their counters
    go on, so that no sum ever shrinks.
    """
    for (name, *_), place in list(cells.places.items()):
        if name in Metric.registry and Metric.registry[name].kind == Gauge.kind:
            cells.numbers[place] = 0
    Metric.cells = cells
    for metric in Metric.registry.values():
        metric.forget_places()
