"""`bulkhead export`: lets the server copy files to S3 or to its export folder (conformance §11)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, TextIO

import click

from app.client.connection import ArchiveClient
from app.client.identifiers import Identifier
from app.client.operations import started
from app.entry.client_commands.common import FAILED, calls_server, json_option
from app.entry.client_commands.waiting import end, no_wait_option, print_id, wait

_FILE: Final = "file:"
_S3: Final = "s3://"


@click.command()
@click.argument("identifiers", nargs=-1, metavar="[STUDY[/SERIES[/INSTANCE]]]...")
@click.option("--to", "destination", required=True, metavar="URI", help="s3://BUCKET/PREFIX, or file:PREFIX.")
@click.option("--from-file", type=click.File("r"), help="A file with one identifier in each line. `-`: standard input.")
@click.option("--region", help="The region of the bucket. Default: that of the server.")
@click.option("--role-arn", help="The role that the server assumes to write.")
@click.option("--external-id", help="The external ID for the role.")
@click.option("--sse-algorithm", type=click.Choice(["AES256", "aws:kms"]), help="The encryption of the objects.")
@click.option("--kms-key-id", help="The key for aws:kms.")
@click.option("--endpoint-url", help="Another S3-compatible store. The operator of the server must allow it.")
@no_wait_option
@json_option
@calls_server
def export(
    client: ArchiveClient,
    /,
    identifiers: Sequence[str],
    destination: str,
    from_file: TextIO | None,
    no_wait: bool,
    as_json: bool,
    **settings: str | None,
) -> None:
    """Let the server copy the files of studies, series or instances.

    file:PREFIX is below the export folder of the server, which runs on the embedded engine. The server writes a log of
    errors beside the files. The command waits for the end.

    \b
    bulkhead export 1.2.3 1.2.4/1.2.5 --to s3://research-drop/run-17
    bulkhead find --all --csv --fields StudyInstanceUID Modality=CT | tail -n +2 |
        bulkhead export --from-file - --to file:ct

    Exit codes: 0 all files are copied, 1 some or all are not.
    """
    named = list(dict.fromkeys(str(Identifier.parse(text)) for text in (*identifiers, *_lines(from_file))))
    if not named:
        raise click.UsageError("Name a study, a series or an instance.")
    body = {
        "source": {"type": "identifiers", "settings": {"values": named}},
        "destination": _destination(destination, settings),
    }
    operation = started(client, client.decoded(client.request("POST", "/export", json=body)))
    if no_wait:
        print_id(operation, as_json)
        return
    found = wait(client, operation)
    end(found, as_json)
    skipped = (found.get("results") or {}).get("skipped", 0)
    if skipped:
        click.echo(f"{skipped} were not copied. The log of errors says why.", err=True)
        sys.exit(FAILED)


def _lines(file: TextIO | None) -> Iterator[str]:
    return (line.strip() for line in file or () if line.strip())


def _destination(uri: str, options: dict[str, str | None]) -> dict[str, Any]:
    """Return the destination as the server expects it. The options belong to S3."""
    settings = {_member(name): value for name, value in options.items() if value is not None}
    if uri.startswith(_S3):
        return {"type": "s3", "settings": {"uri": uri, **settings}}
    if not uri.startswith(_FILE):
        raise click.UsageError("--to: It is s3://BUCKET/PREFIX or file:PREFIX.")
    if settings:
        raise click.UsageError("These options are for destinations in S3 alone.")
    prefix = uri.removeprefix(_FILE)
    return {"type": "file", "settings": {"prefix": prefix} if prefix else {}}


def _member(option: str) -> str:
    """Return the member of the request for an option: `roleArn` for `role_arn`."""
    first, *more = option.split("_")
    return first + "".join(word.capitalize() for word in more)
