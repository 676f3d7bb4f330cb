"""The report of a check, as text for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from app.services.recovery.findings import FaultKind, Report

_SHOWN: Final = 20
"""Faults of one kind that the text names. The JSON report names more."""


def print_report(report: Report, *, to_stderr: bool = False) -> None:
    """Print what was checked, then each kind of fault with its first places."""
    for line in lines(report):
        click.echo(line, err=to_stderr)


def lines(report: Report) -> Iterator[str]:
    """Yield the lines of the text."""
    yield "Checked: " + ", ".join(f"{number:,} {name}" for name, number in sorted(report.checked.items())) + "."
    for kind in FaultKind:
        name = kind.name.lower()
        if not report.found[name]:
            continue
        repaired = f", {report.repaired[name]:,} of them repaired" if report.repaired[name] else ""
        yield f"{report.found[name]:,} {kind}{repaired}:"
        places = [each for each in report.listed if each["fault"] == name]
        for place in places[:_SHOWN]:
            yield f"  {_text(place)}"
        if report.found[name] > _SHOWN:
            yield f"  … and {report.found[name] - min(_SHOWN, len(places)):,} more"
    yield from report.notes
    yield "No faults." if not report.found.total() else f"{report.left:,} faults are left."


def _text(place: dict[str, object]) -> str:
    uids = "/".join(str(place[name]) for name in ("study", "series", "instance") if name in place)
    partition = f"partition {place['partition']}" if "partition" in place else ""
    detail = f": {place['detail']}" if "detail" in place else ""
    return " ".join(filter(None, (partition, uids))) + detail + (" (repaired)" if place.get("repaired") else "")
