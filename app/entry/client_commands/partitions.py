"""`bulkhead partitions`: lists the partitions that the caller may see (conformance §2.6)."""

from __future__ import annotations

import click

from app.client.connection import ArchiveClient
from app.entry.client_commands.common import calls_server, json_option
from app.entry.client_commands.rows import csv_option, print_csv, print_json, print_table


@click.command()
@csv_option
@json_option
@calls_server
def partitions(client: ArchiveClient, as_csv: bool, as_json: bool) -> None:
    """List the partitions that the caller may see, in the order in which they were created."""
    listed = client.json("/partitions", at_base=True)
    if as_json:
        print_json(listed)
        return
    columns = list(dict.fromkeys(name for each in listed for name in each))
    rows = [[str(each.get(name, "")) for name in columns] for each in listed]
    if as_csv:
        print_csv(columns, rows)
    else:
        print_table(columns, rows, "There are no partitions that you may see.")
