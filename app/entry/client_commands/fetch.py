"""`bulkhead fetch`: retrieve instances into a folder or a zip archive (conformance §4.1, §15.6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pydicom.uid

from app.client.attributes import assignment
from app.client.connection import ArchiveClient
from app.client.errors import ClientError, InvalidAttribute
from app.client.fetch.download import AS_STORED
from app.client.fetch.instances import found_instances, named_instances
from app.client.fetch.run import FetchReport, FetchRun
from app.client.fetch.targets import FolderTarget, Target, ZipTarget
from app.client.identifiers import Identifier
from app.dicom.encoding.uids import is_uid
from app.entry.client_commands.common import calls_server, error_console, json_option
from app.entry.client_commands.progress import ShownProgress
from app.entry.client_commands.transfer_ending import end, print_report, stop_like_interrupts


def _transfer_syntax(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return the UID of a transfer syntax, from a UID or from a keyword of PS3.6 such as `JPEG2000Lossless`."""
    named = getattr(pydicom.uid, value, value)
    if value != AS_STORED and not (isinstance(named, str) and is_uid(named)):
        raise click.BadParameter(f"'{value}' is no transfer syntax: a UID, a keyword as JPEG2000Lossless, or '*'.")
    return str(named)


@click.command()
@click.argument("terms", nargs=-1, required=True, metavar="STUDY[/SERIES[/INSTANCE]]... | KEY=VALUE...")
@click.option(
    "--output",
    "-o",
    "folder",
    default=".",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder. Files are named STUDY/SERIES/INSTANCE.dcm in it.",
)
@click.option("--zip", "archive", type=click.Path(path_type=Path), help="Write this zip archive, in place of a folder.")
@click.option(
    "--transfer-syntax",
    default=AS_STORED,
    show_default=True,
    callback=_transfer_syntax,
    help="A UID, a keyword as ExplicitVRLittleEndian, or '*': as stored.",
)
@click.option("--jobs", default=4, show_default=True, type=click.IntRange(1, 64), help="Requests at the same time.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@calls_server
@json_option
def fetch(
    client: ArchiveClient,
    terms: Sequence[str],
    folder: Path,
    archive: Path | None,
    transfer_syntax: str,
    jobs: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Retrieve studies, series or instances, or all instances that a search finds.

    KEY is a keyword or a tag of 8 hex digits. VALUE may have the wildcards * and ?, and ranges of dates.

    \b
    bulkhead fetch 1.2.3 1.2.4/1.2.5 -o scans        a study and a series
    bulkhead fetch PatientID=P1 Modality=CT --zip ct.zip
    bulkhead fetch 1.2.3 --transfer-syntax ExplicitVRLittleEndian

    A file has its name only when it is whole. So a run that is interrupted goes on if the same command is given again:
    files that are there with the right size are not retrieved again. A zip archive is always written anew.

    Exit codes: 0 everything is there, 1 some instances are not, or nothing was found, 2 the command line is wrong,
    3 the server does not answer or does not accept the credentials, 130 interrupted.
    """
    stop_like_interrupts()
    wanted = _wanted(terms)
    instances, missing = _instances(client, wanted)
    report = FetchReport(place=str(archive or folder))
    for each in missing:
        report.refusals.add(each, "nothing was found")
    target: Target = ZipTarget(archive) if archive else FolderTarget(folder)
    error = _run(client, target, report, instances, transfer_syntax, jobs, quiet=quiet)
    print_report(report, as_json)
    end(report, error, "" if archive else "Give the same command again to go on.")


def _wanted(terms: Sequence[str]) -> list[Identifier] | list[tuple[str, str]]:
    """Return identifiers, or the filters of a search."""
    filters = [assignment(term) for term in terms if "=" in term]
    if not filters:
        return list(dict.fromkeys(Identifier.parse(term) for term in terms))
    if len(filters) < len(terms):
        raise InvalidAttribute("Give identifiers, or KEY=VALUE, and not both.")
    return filters


def _instances(
    client: ArchiveClient, wanted: list[Identifier] | list[tuple[str, str]]
) -> tuple[list[Identifier], list[str]]:
    """Return the instances to retrieve, and what has none."""
    found: dict[Identifier, None] = {}
    missing = []
    for name, instances in _searches(client, wanted):
        listed = dict.fromkeys(instances)
        found.update(listed)
        if not listed:
            missing.append(name)
    return list(found), missing


def _searches(
    client: ArchiveClient, wanted: list[Identifier] | list[tuple[str, str]]
) -> Iterator[tuple[str, Iterator[Identifier]]]:
    filters = [each for each in wanted if isinstance(each, tuple)]
    if filters:
        yield " ".join(f"{name}={value}" for name, value in filters), found_instances(client, filters)
    for each in wanted:
        if isinstance(each, Identifier):
            yield str(each), named_instances(client, each)


def _run(
    client: ArchiveClient,
    target: Target,
    report: FetchReport,
    instances: list[Identifier],
    transfer_syntax: str,
    jobs: int,
    *,
    quiet: bool,
) -> ClientError | None:
    """Retrieve the instances. Return the error that ended the run early."""
    amounts = [len(instances)]
    with target, ShownProgress(error_console(), "Fetching", amounts, quiet=quiet) as progress:
        run = FetchRun(
            client,
            target,
            report,
            transfer_syntax=transfer_syntax,
            jobs=jobs,
            shown=lambda each: progress.show(
                each.files, files=each.files, size=each.bytes_received, failed=each.refused
            ),
        )
        try:
            run.run(instances)
            if not report.interrupted and report.fetched:
                target.complete()
        except ClientError as error:
            report.error = str(error)
            return error
    return None
