"""`bulkhead rm`: deletes studies, series or instances (conformance §6.1)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from app.client.connection import ArchiveClient
from app.client.errors import NotThere
from app.client.identifiers import Identifier
from app.entry.client_commands.common import FAILED, calls_server, json_option
from app.entry.client_commands.rows import print_json


@click.command()
@click.argument("identifiers", nargs=-1, required=True, metavar="STUDY[/SERIES[/INSTANCE]]...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@calls_server
def rm(client: ArchiveClient, identifiers: Sequence[str], yes: bool, as_json: bool) -> None:
    """Delete studies, series or instances for ever.

    The UIDs of a series are written STUDY/SERIES, those of an instance STUDY/SERIES/INSTANCE. On a terminal it asks
    before. Elsewhere it needs --yes.

    Exit codes: 0 all are deleted, 1 some were not there (the others are deleted).
    """
    named = list(dict.fromkeys(map(Identifier.parse, identifiers)))
    if not yes:
        _confirm(client, named)
    results = []
    for each in named:
        try:
            client.request("DELETE", each.path)
        except NotThere:
            click.echo(f"There is no {each.level} {each}.", err=True)
            results.append({"identifier": str(each), "deleted": False})
        else:
            if not as_json:
                click.echo(f"Deleted the {each.level} {each}.")
            results.append({"identifier": str(each), "deleted": True})
    if as_json:
        print_json(results)
    if not all(each["deleted"] for each in results):
        sys.exit(FAILED)


def _confirm(client: ArchiveClient, named: Sequence[Identifier]) -> None:
    """Ask the person at the terminal. Ends the command if the answer is no."""
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here. Give --yes to delete without a question.")
    where = f" in the partition {client.partition}" if client.partition else ""
    what = f"the {named[0].level} {named[0]}" if len(named) == 1 else f"{len(named)} objects"
    try:
        agreed = click.confirm(f"Delete {what}{where} for ever?", err=True)
    except click.Abort as interruption:
        raise KeyboardInterrupt from interruption
    if not agreed:
        click.echo("Nothing is deleted.", err=True)
        sys.exit(FAILED)
