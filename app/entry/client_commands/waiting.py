"""Waits for operations in the background, with a progress bar, and prints how they end."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click
import orjson
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from app.client.connection import ArchiveClient
from app.client.operations import SUCCEEDED, states
from app.entry.client_commands.common import FAILED, error_console
from app.entry.client_commands.rows import print_members

no_wait_option = click.option("--no-wait", is_flag=True, help="Print the ID of the operation and do not wait for it.")


def wait(client: ArchiveClient, operation: str) -> dict[str, Any]:
    """Return the state of an operation when it has ended. On a terminal there is a progress bar meanwhile.

    Ctrl-C ends the waiting and not the operation. Then a line says how to watch it.
    """
    console = error_console()
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    found: dict[str, Any] = {}
    try:
        with bar:
            task = bar.add_task("waiting", total=None)
            for found in states(client, operation):
                percent = found.get("percentComplete")
                total = None if percent is None else 100
                bar.update(task, description=_described(found), total=total, completed=percent or 0)
    except KeyboardInterrupt:
        click.echo(f"The operation continues. Watch it with `bulkhead operations {operation} --watch`.", err=True)
        raise
    return found


def _described(found: Mapping[str, Any]) -> str:
    counts = [f"{name} {value}" for name, value in (found.get("results") or {}).items() if isinstance(value, int)]
    return ", ".join([str(found["status"]), *counts])


def print_state(found: Mapping[str, Any], as_json: bool) -> None:
    """Print the state of an operation. Its results are members of their own for people."""
    if as_json:
        click.echo(orjson.dumps(found))
        return
    members = {name: value for name, value in found.items() if name != "results"}
    print_members(members | dict(found.get("results") or {}))


def end(found: Mapping[str, Any], as_json: bool) -> None:
    """Print the state of an operation that has ended. The process ends with exit code 1 if it failed."""
    print_state(found, as_json)
    if found["status"] not in SUCCEEDED:
        click.echo("The operation failed.", err=True)
        sys.exit(FAILED)


def print_id(operation: str, as_json: bool) -> None:
    """Print the ID of an operation that nobody waits for."""
    click.echo(orjson.dumps({"id": operation}) if as_json else operation)
