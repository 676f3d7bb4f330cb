"""How the commands that transfer many files end: the summary, the exit code, and what interrupts them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable
from typing import Any, NoReturn, Protocol

import click
import orjson

from app.client.errors import ClientError
from app.entry.client_commands.common import FAILED, INTERRUPTED, exit_code


class Report(Protocol):
    """What a run did."""

    interrupted: bool

    @property
    def refused(self) -> int:
        """The number of files that were refused or failed."""

    def lines(self) -> Iterable[str]:
        """Return the summary for people."""

    def document(self) -> dict[str, Any]:
        """Return the summary as a JSON object."""


def print_report(report: Report, as_json: bool) -> None:
    """Print the summary of a run on standard output."""
    if as_json:
        document: dict[str, Any] = report.document()
        text = orjson.dumps(_printable(document), option=orjson.OPT_INDENT_2).decode()
        click.echo(text)
    else:
        for line in report.lines():
            click.echo(_printable(line))


def _printable(value: Any) -> Any:
    """Return text that every terminal and JSON can hold. A file name may have bytes that are no UTF-8."""
    match value:
        case str():
            text = value.encode(errors="surrogateescape").decode(errors="replace")
            return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
        case list():
            return [_printable(each) for each in value]
        case dict():
            return {name: _printable(each) for name, each in value.items()}
    return value


def end(report: Report, error: ClientError | None, advice: str) -> None:
    """End the process with the exit code of a run. `advice` says how to go on after an early end."""
    if error:
        click.echo(f"Error: {error} {advice}".rstrip(), err=True)
        sys.exit(exit_code(error))
    if report.interrupted:
        click.echo(f"Interrupted. {advice}".rstrip(), err=True)
        sys.exit(INTERRUPTED)
    if report.refused:
        sys.exit(FAILED)


def stop_like_interrupts() -> None:
    """Let SIGTERM end the command as Ctrl-C does: with a summary, and with the journal in order."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
