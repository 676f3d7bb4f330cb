"""`bulkhead operations`: the state of an operation in the background (conformance §9.1)."""

from __future__ import annotations

import click

from app.client.connection import ArchiveClient
from app.client.operations import RUNNING, state
from app.entry.client_commands.common import calls_server, json_option
from app.entry.client_commands.waiting import end, print_state, wait


@click.command()
@click.argument("operation", metavar="ID")
@click.option("--watch", is_flag=True, help="Wait until the operation has ended, with a progress bar.")
@json_option
@calls_server
def operations(client: ArchiveClient, operation: str, watch: bool, as_json: bool) -> None:
    """Print the state of the operation ID: a bulk update, an export, or a re-index of tags.

    The command that started the operation printed its ID. The page /ui/operations of the server lists all.

    Exit codes: 0 it runs or has succeeded, 1 it failed or does not exist.
    """
    found = wait(client, operation) if watch else state(client, operation)
    if found["status"] in RUNNING:
        print_state(found, as_json)
    else:
        end(found, as_json)
