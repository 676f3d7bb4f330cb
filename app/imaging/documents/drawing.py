"""Drawings on paper, in millimetres, as SVG: what waveforms are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.documents.page import text

FINE_GRID: Final = "#f9d9d9"
GRID: Final = "#eeb0b0"
INK: Final = "#111111"
LABEL: Final = "#33404f"
PAPER: Final = "#ffffff"

FINE_WIDTH: Final = 0.08
GRID_WIDTH: Final = 0.16
TRACE_WIDTH: Final = 0.26

_STEPS: Final = 100
"""Steps of one millimetre that the points of traces are rounded to. Whole numbers make a short file."""


@dataclass(frozen=True, slots=True)
class Grid:
    """ECG paper: a fine line each millimetre, a strong one each five."""

    left: float
    top: float
    right: float
    bottom: float

    def lines(self, step: int, skipped: int = 0) -> Iterator[tuple[float, float, float, float]]:
        """Yield (x, y, x, y) of the lines at each `step` millimetres, without those at multiples of `skipped`."""
        for begin, end, is_vertical in ((self.left, self.right, True), (self.top, self.bottom, False)):
            for offset in range(0, int(end - begin) + 1, step):
                if skipped and offset % skipped == 0:
                    continue
                place = begin + offset
                if is_vertical:
                    yield place, self.top, place, self.bottom
                else:
                    yield self.left, place, self.right, place


@dataclass(frozen=True, slots=True)
class Trace:
    """A line through points: (points, 2), x and y. A NaN breaks the line."""

    points: NDArray[np.float64]

    def pieces(self) -> Iterator[NDArray[np.float64]]:
        """Yield the unbroken parts."""
        is_point = ~np.isnan(self.points).any(axis=1)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], is_point, [False]]).astype(np.int8)))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            yield self.points[start:stop]


@dataclass(frozen=True, slots=True)
class Label:
    """A line of text. `y` is its base line, `size` its height in millimetres."""

    x: float
    y: float
    value: str
    size: float = 3.0
    is_bold: bool = False


@dataclass(slots=True)
class Drawing:
    """A sheet of paper and what is on it."""

    width: float
    height: float = 0.0
    grids: list[Grid] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    def svg(self) -> bytes:
        """Return the drawing as SVG. It has no style sheet, no script and no link."""
        pieces = [
            f'<?xml version="1.0" encoding="UTF-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" '
            f'width="{self.width:g}mm" height="{self.height:g}mm" viewBox="0 0 {self.width:g} {self.height:g}">\n'
            f'<rect width="{self.width:g}" height="{self.height:g}" fill="{PAPER}"/>\n'
        ]
        for grid in self.grids:
            pieces.append(_lines(grid.lines(1, skipped=5), FINE_GRID, FINE_WIDTH))
            pieces.append(_lines(grid.lines(5), GRID, GRID_WIDTH))
        paths = "".join(_path(piece) for trace in self.traces for piece in trace.pieces())
        pieces.append(
            f'<path transform="scale({1 / _STEPS:g})" d="{paths}" fill="none" stroke="{INK}" '
            f'stroke-width="{TRACE_WIDTH * _STEPS:g}" stroke-linejoin="round" stroke-linecap="round"/>\n'
        )
        pieces.append(f'<g fill="{LABEL}" font-family="Arial, Helvetica, sans-serif">\n')
        for label in self.labels:
            weight = ' font-weight="bold"' if label.is_bold else ""
            place = f'x="{label.x:.2f}" y="{label.y:.2f}" font-size="{label.size:g}"'
            pieces.append(f"<text {place}{weight}>{text(label.value)}</text>\n")
        return ("".join(pieces) + "</g>\n</svg>\n").encode()


def _lines(lines: Iterator[tuple[float, float, float, float]], colour: str, width: float) -> str:
    path = "".join(f"M{x1:g} {y1:g}L{x2:g} {y2:g}" for x1, y1, x2, y2 in lines)
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>\n'


def _path(points: NDArray[np.float64]) -> str:
    """Return the commands of a line in whole steps, each from the point before. A single point becomes a dot."""
    steps = np.rint(points * _STEPS).astype(np.int64)
    x, y = steps[0].tolist()
    moves = np.diff(steps, axis=0)
    moves = moves[moves.any(axis=1)].tolist()
    return f"M{x} {y}l" + (" ".join(f"{across} {down}" for across, down in moves) or "0 0")
