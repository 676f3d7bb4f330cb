"""`bulkhead workitems`: the worklist (conformance §7, PS3.18 §11)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, BinaryIO, Final

import click
import orjson

from app.client.attributes import assignment, element, name_of, path_for, text_of
from app.client.connection import DICOM_JSON, ArchiveClient
from app.client.errors import UnexpectedAnswer
from app.client.pages import is_dataset, pages
from app.dicom.encoding.uids import is_uid
from app.entry.client_commands.common import calls_server, json_option
from app.entry.client_commands.rows import print_json, print_members, print_table

_COLUMNS: Final = (
    *("PatientName", "PatientID", "ProcedureStepLabel", "ProcedureStepState", "ScheduledProcedureStepPriority"),
    *("ScheduledProcedureStepStartDateTime", "SOPInstanceUID"),
)
_UID: Final = "00080018"
_PATH: Final = "/workitems"
_TYPE: Final = {"Content-Type": DICOM_JSON}


def _checked(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_uid(value):
        raise click.BadParameter(f"'{value}' is no UID.")
    return value


_workitem = click.argument("workitem", metavar="UID", callback=_checked)
_transaction = click.option(
    "--transaction", metavar="UID", callback=_checked, required=True, help="The Transaction UID that `claim` printed."
)


@click.group()
def workitems() -> None:
    """Search, create, claim and end the steps of the worklist."""


@workitems.command()
@click.argument("terms", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Find at most so many.")
@json_option
@calls_server
def find(client: ArchiveClient, terms: Sequence[str], limit: int, as_json: bool) -> None:
    """Search for workitems, the newest first: `bulkhead workitems find ProcedureStepState=SCHEDULED`."""
    filters = [assignment(term) for term in terms]
    paths = [path_for(name) for name in _COLUMNS]
    parameters = [*filters, ("includefield", ",".join(paths))]
    found = pages(client, _PATH, parameters, limit=limit, identity=lambda each: text_of(each, _UID))
    shown = [dataset for page in found for dataset in page]
    if as_json:
        print_json(shown)
    else:
        rows = [[text_of(dataset, path) for path in paths] for dataset in shown]
        print_table(_COLUMNS, rows, "No workitems were found.")


@workitems.command()
@_workitem
@json_option
@calls_server
def show(client: ArchiveClient, workitem: str, as_json: bool) -> None:
    """Print the workitem UID."""
    dataset = client.json(f"{_PATH}/{workitem}")
    if not is_dataset(dataset):
        raise UnexpectedAnswer(f"The answer of {client.url} is no workitem: is it a Bulkhead server?")
    if as_json:
        click.echo(orjson.dumps(dataset, option=orjson.OPT_INDENT_2))
    else:
        print_members({name_of(tag): text_of(dataset, tag) for tag in sorted(dataset)})


@workitems.command()
@click.argument("file", type=click.File("rb"))
@click.option("--uid", callback=_checked, help="The UID of the workitem. Default: that in the file, or a new one.")
@calls_server
def create(client: ArchiveClient, file: BinaryIO, uid: str | None) -> None:
    """Create the workitem whose dataset in DICOM JSON is in FILE (`-`: standard input), and print its UID."""
    dataset = _dataset(file.read())
    name = uid or text_of(dataset, _UID) or _new_uid()
    client.request("POST", _PATH, params={"workitem": name}, body=orjson.dumps([dataset]), headers=_TYPE)
    click.echo(name)


def _dataset(text: bytes) -> dict[str, Any]:
    """Return the dataset of a file: an object, or an array with one."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise click.UsageError(f"The file is not JSON: {error}.") from error
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    if not isinstance(document, dict):
        raise click.UsageError("The file has no dataset: an object in DICOM JSON, or an array with one.")
    return document


@workitems.command()
@_workitem
@click.argument("file", type=click.File("rb"))
@click.option("--transaction", metavar="UID", callback=_checked, help="The Transaction UID, if it is claimed.")
@calls_server
def update(client: ArchiveClient, workitem: str, file: BinaryIO, transaction: str | None) -> None:
    """Replace attributes of the workitem UID by those in FILE, in DICOM JSON (`-`: standard input)."""
    parameters = {"transaction-uid": transaction} if transaction else {}
    body = orjson.dumps([_dataset(file.read())])
    client.request("POST", f"{_PATH}/{workitem}", params=parameters, body=body, headers=_TYPE)
    click.echo(f"Updated the workitem {workitem}.", err=True)


@workitems.command()
@_workitem
@calls_server
def claim(client: ArchiveClient, workitem: str) -> None:
    """Claim the workitem UID, and print the Transaction UID. Who claimed it needs this UID to end it."""
    transaction = _new_uid()
    _change_state(client, workitem, "IN PROGRESS", transaction)
    click.echo(transaction)


@workitems.command()
@_workitem
@_transaction
@calls_server
def complete(client: ArchiveClient, workitem: str, transaction: str) -> None:
    """End the claimed workitem UID as completed."""
    _change_state(client, workitem, "COMPLETED", transaction)
    click.echo(f"Completed the workitem {workitem}.", err=True)


@workitems.command()
@_workitem
@click.option("--reason", help="Why it is canceled.")
@calls_server
def cancel(client: ArchiveClient, workitem: str, reason: str | None) -> None:
    """Ask for the cancellation of the workitem UID, which nobody has claimed."""
    body = dict([element("ReasonForCancellation", reason)] if reason else [])
    path = f"{_PATH}/{workitem}/cancelrequest"
    client.request("POST", path, body=orjson.dumps([body]), headers=_TYPE)
    click.echo(f"Canceled the workitem {workitem}.", err=True)


def _change_state(client: ArchiveClient, workitem: str, state: str, transaction: str) -> None:
    body = dict([element("ProcedureStepState", state), element("TransactionUID", transaction)])
    client.request("PUT", f"{_PATH}/{workitem}/state", body=orjson.dumps([body]), headers=_TYPE, repeatable=False)


def _new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"
