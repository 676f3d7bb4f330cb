"""`bulkhead feed`: prints the change feed and follows it (conformance §10)."""

from __future__ import annotations

from datetime import UTC, datetime
from time import sleep
from typing import Any, Final

import click
import orjson

from app.client.connection import ArchiveClient
from app.client.errors import ServerFailed, ServerUnreachable
from app.client.feed import FeedReader
from app.entry.client_commands.common import calls_server, json_option
from app.entry.client_commands.rows import printable

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 10.0
"""Seconds between questions while nothing happens."""


def _start(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | str | None:
    """Return a sequence number, `now`, or a time in UTC."""
    if value is None or value == "now":
        return value
    if value.isascii() and value.isdecimal():
        return int(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"'{value}' is no sequence number, no time in ISO 8601, and not 'now'.") from None
    in_utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return in_utc.isoformat().replace("+00:00", "Z")


@click.command()
@click.option("--follow", is_flag=True, help="Wait for new entries until Ctrl-C.")
@click.option(
    "--since",
    metavar="START",
    callback=_start,
    help="A sequence number: begin with the entry after it. Or a date or time in ISO 8601, which is in UTC if it "
    "names no zone. Or 'now'. Without it: the first entry.",
)
@click.option("--metadata", is_flag=True, help="With --json: print the metadata of the instances too.")
@json_option
@calls_server
def feed(client: ArchiveClient, follow: bool, since: int | str | None, metadata: bool, as_json: bool) -> None:
    """Print what was created, updated and deleted, in the order of the sequence numbers.

    With --partition it prints the changes of one partition, otherwise those of all partitions that the caller may read.
    With --json each entry is a line with a JSON object. A line on standard error says where to go on after Ctrl-C.
    Each entry is printed once.

    \b
    bulkhead feed --since 2024-03-01 --json > changes.jsonl
    bulkhead feed --follow --since now
    """
    if metadata and not as_json:
        raise click.UsageError("--metadata needs --json.")
    reader = FeedReader(client, partition=client.chosen_partition, metadata=metadata)
    match since:
        case int():
            reader.after = since
        case "now":
            reader.after = reader.latest()
        case str():
            reader.start_at(since)
    _print_all(reader, follow, as_json)


def _print_all(reader: FeedReader, follow: bool, as_json: bool) -> None:
    printed = reader.after
    pause = _FIRST_PAUSE
    has_answered = False
    try:
        while (entries := _next(reader, follow and has_answered)) or follow:
            has_answered = True
            for entry in entries:
                click.echo(orjson.dumps(entry) if as_json else _line(entry))
                printed = entry["sequence"]
            if entries:
                pause = _FIRST_PAUSE
            else:
                printed = reader.after
                sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
    except KeyboardInterrupt:
        click.echo(f"Everything up to number {printed} is printed. Go on with --since {printed}.", err=True)
        raise


def _next(reader: FeedReader, patient: bool) -> list[dict[str, Any]]:
    """Return the next entries. A patient reader takes a server that fails for one that has nothing new."""
    try:
        return reader.next_entries()
    except (ServerUnreachable, ServerFailed) as error:
        if not patient:
            raise
        click.echo(f"{error} It is asked again.", err=True)
        return []


def _line(entry: dict[str, Any]) -> str:
    identifier = "/".join(entry[name] for name in ("studyInstanceUid", "seriesInstanceUid", "sopInstanceUid"))
    time = entry["timestamp"][:19]
    text = f"{entry['sequence']:>9}  {time}  {entry['action']:6}  {entry['state']:8}"
    return printable(f"{text}  {entry['partitionName']}  {identifier}")
