"""`bulkhead tags`: the attributes that an administrator made searchable (conformance §8)."""

from __future__ import annotations

from typing import Any

import click

from app.client.answers import entries_of
from app.client.attributes import path_for
from app.client.connection import ArchiveClient
from app.client.operations import started
from app.client.pages import pages
from app.dicom.validation.attributes import keyword_of
from app.entry.client_commands.common import calls_server, json_option
from app.entry.client_commands.rows import print_json, print_table
from app.entry.client_commands.waiting import end, no_wait_option, print_id, wait

_PATH = "/extendedquerytags"


@click.group()
def tags() -> None:
    """List, add and remove extended query tags: attributes that searches may name beside the usual ones."""


@tags.command(name="list")
@json_option
@calls_server
def list_tags(client: ArchiveClient, as_json: bool) -> None:
    """List the tags, the oldest first."""
    found = pages(client, _PATH, at_base=True, identity=lambda tag: str(tag.get("path")))
    listed = [tag for page in found for tag in entries_of(page, "path", str)]
    if as_json:
        print_json(listed)
    else:
        columns = ["path", "keyword", "vr", "level", "status", "queryStatus", "errors"]
        print_table(columns, map(_row, listed), "There are no extended query tags.")


def _row(tag: dict[str, Any]) -> list[str]:
    reported = tag.get("errors")
    errors = reported.get("count", 0) if isinstance(reported, dict) else 0
    of_tag = [str(tag.get(name, "")) for name in ("vr", "level", "status", "queryStatus")]
    return [tag["path"], keyword_of(tag["path"]), *of_tag, str(errors)]


@tags.command(name="add")
@click.argument("tag")
@click.option("--level", type=click.Choice(["study", "series", "instance"]), required=True, help="What it describes.")
@click.option("--vr", help="The VR. Only a private tag needs it.")
@click.option("--private-creator", help="The creator of a private tag.")
@no_wait_option
@json_option
@calls_server
def add_tag(
    client: ArchiveClient,
    tag: str,
    level: str,
    vr: str | None,
    private_creator: str | None,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Make the attribute TAG searchable: a keyword or 8 hex digits. Waits until all stored instances are indexed."""
    optional = {"vr": vr, "privateCreator": private_creator}
    entry = {"path": tag, "level": level, **{name: value for name, value in optional.items() if value is not None}}
    answer = client.request("POST", _PATH, at_base=True, json=[entry])
    operation = started(client, client.decoded(answer))
    if no_wait:
        print_id(operation, as_json)
    else:
        end(wait(client, operation), as_json)


@tags.command(name="rm")
@click.argument("tag")
@calls_server
def remove_tag(client: ArchiveClient, tag: str) -> None:
    """Remove the extended query tag TAG and what is indexed by it. The instances stay as they are."""
    client.request("DELETE", f"{_PATH}/{path_for(tag)}", at_base=True)
    click.echo(f"Removed the extended query tag {tag}.", err=True)
