"""`bulkhead partitions`: lists the partitions that the caller may see (conformance §2.6)."""

from __future__ import annotations

from typing import Any

import click

from app.client.answers import entries_of
from app.client.connection import ArchiveClient
from app.entry.client_commands.common import calls_server, json_option
from app.entry.client_commands.rows import csv_option, print_csv, print_json, print_table


@click.command()
@click.option("--counts", is_flag=True, help="Show studies, instances and bytes, with one call for each partition.")
@csv_option
@json_option
@calls_server
def partitions(client: ArchiveClient, counts: bool, as_csv: bool, as_json: bool) -> None:
    """List the partitions that the caller may see, in the order in which they were created."""
    listed = entries_of(client.json("/partitions", at_base=True), "partitionName", str)
    if counts:
        listed = [each | _statistics(client, each["partitionName"]) for each in listed]
    if as_json:
        print_json(listed)
        return
    columns = list(dict.fromkeys(name for each in listed for name in each))
    rows = [[str(each.get(name, "")) for name in columns] for each in listed]
    if as_csv:
        print_csv(columns, rows)
    else:
        print_table(columns, rows, "There are no partitions that you may see.")


def _statistics(client: ArchiveClient, name: str) -> dict[str, Any]:
    """Return the counts of a partition, nothing if it has none or the caller may not read it."""
    answer = client.request("GET", f"/partitions/{name}/statistics", at_base=True, accepted=(403, 404))
    counts = client.decoded(answer) if answer.status_code == 200 else {}
    return counts if isinstance(counts, dict) else {}
