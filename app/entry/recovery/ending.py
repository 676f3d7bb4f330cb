"""How the commands that save and move archives end: the report, and the exit code of a failure."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import click
import orjson

from app.entry.client_commands.common import INTERRUPTED
from app.entry.client_commands.transfer_ending import stop_like_interrupts
from app.entry.configured import FAILED


class Report(Protocol):
    """What a command did."""

    def lines(self) -> Iterator[str]:
        """Yield the report for people."""

    def document(self) -> dict[str, Any]:
        """Return the report as a JSON object."""


def print_report(report: Report, as_json: bool) -> None:
    """Print a report on standard output."""
    if as_json:
        click.echo(orjson.dumps(report.document(), option=orjson.OPT_INDENT_2))
        return
    for line in report.lines():
        click.echo(line)


@contextmanager
def ending(advice: str) -> Iterator[None]:
    """End the process after Ctrl-C, SIGTERM or an error of a file. `advice` says how to go on."""
    stop_like_interrupts()
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"Interrupted. {advice}", err=True)
        sys.exit(INTERRUPTED)
    except OSError as error:
        click.echo(f"Error: {error}. {advice}", err=True)
        sys.exit(FAILED)
