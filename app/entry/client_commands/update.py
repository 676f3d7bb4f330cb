"""`bulkhead update`: changes attributes of patients and studies in all their instances (conformance §12)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import click
import orjson

from app.client.attributes import element
from app.client.connection import ArchiveClient
from app.client.errors import InvalidAttribute, Refused
from app.client.identifiers import Identifier
from app.client.operations import started
from app.entry.client_commands.common import FAILED, calls_server, json_option
from app.entry.client_commands.waiting import end, no_wait_option, print_id, wait

_LARGEST: Final = 50
"""Studies of one update. The server refuses more."""


@click.command()
@click.argument("terms", nargs=-1, required=True, metavar="STUDY... KEY=VALUE...")
@no_wait_option
@json_option
@calls_server
def update(client: ArchiveClient, terms: Sequence[str], no_wait: bool, as_json: bool) -> None:
    """Change attributes of the patient or of the study in all instances of each STUDY.

    KEY is a keyword or a tag of 8 hex digits. An update has 50 studies at most, and a server does one at a time. The
    command waits for its end.

    \b
    bulkhead update 1.2.3 1.2.4 PatientID=MRN-7 PatientName='Doe^Jane'

    Exit codes: 0 all studies are changed, 1 some are not, or the server refuses the update.
    """
    studies = [_study(term) for term in terms if "=" not in term]
    changes = [element(*term.split("=", 1)) for term in terms if "=" in term]
    if not studies or not changes:
        raise click.UsageError("Give at least one STUDY and one KEY=VALUE.")
    if len(set(studies)) > _LARGEST:
        raise click.UsageError(f"An update has {_LARGEST} studies at most. Split them.")
    if len(dict(changes)) < len(changes):
        raise click.UsageError("An attribute is given twice.")
    body = {"studyInstanceUids": list(dict.fromkeys(studies)), "changeDataset": dict(changes)}
    answer = client.request("POST", "/studies/$bulkUpdate", json=body, accepted=(400,))
    if answer.status_code == 400:
        raise Refused(400, " ".join(_comments(answer.content)) or " ".join(answer.text.split()))
    operation = started(client, client.decoded(answer))
    if no_wait:
        print_id(operation, as_json)
        return
    found = wait(client, operation)
    end(found, as_json)
    missing = len(set(studies)) - (found.get("results") or {}).get("studyUpdated", 0)
    if missing:
        click.echo(f"{missing} of the studies are not in the partition.", err=True)
        sys.exit(FAILED)


def _study(term: str) -> str:
    identifier = Identifier.parse(term)
    if len(identifier.uids) > 1:
        raise InvalidAttribute(f"'{term}' is no study. An update changes whole studies.")
    return identifier.uids[0]


def _comments(body: bytes) -> Iterator[str]:
    """Yield the reason for each attribute that the server does not change (FailedAttributesSequence)."""
    with suppress(orjson.JSONDecodeError, AttributeError, TypeError):  # the answer of another program, or a text
        dataset: dict[str, Any] = orjson.loads(body)
        for item in dataset.get("00741048", {}).get("Value", ()):
            yield from map(str, item.get("00000902", {}).get("Value", ()))
