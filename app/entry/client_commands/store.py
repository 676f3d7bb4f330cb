"""`bulkhead store`: store files and folders on a server (conformance §3, §15.6)."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import click
import orjson

from app.client.connection import ArchiveClient
from app.client.errors import ClientError
from app.client.store.journal import Journal, journal_path, state_folder
from app.client.store.report import StoreReport
from app.client.store.run import StoreRun
from app.client.store.sources import STANDARD_INPUT, found_files, size_of
from app.entry.client_commands.common import (
    FAILED,
    INTERRUPTED,
    calls_server,
    error_console,
    exit_code,
    json_option,
)
from app.entry.client_commands.progress import ShownProgress


@click.command()
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="PATH...",
    type=click.Path(exists=True, allow_dash=True, path_type=Path),
)
@calls_server
@click.option("--jobs", default=4, show_default=True, type=click.IntRange(1, 64), help="Requests at the same time.")
@click.option(
    "--journal",
    "journal_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file that remembers what is stored, for a run after an interruption. "
    "Default: a file for this server, partition and paths in ~/.local/state/bulkhead.",
)
@click.option("--no-journal", is_flag=True, help="Neither read nor write a journal.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@json_option
def store(
    client: ArchiveClient,
    paths: Sequence[Path],
    jobs: int,
    journal_file: Path | None,
    no_journal: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Store DICOM files in a partition.

    PATH is a folder, with all folders in it, a DICOM file, a DICOMDIR, a zip or tar archive, or - for a tar archive on
    standard input. Other files are skipped. Archives in archives are not opened. The files that a DICOMDIR names are
    stored, and not the DICOMDIR.

    \b
    bulkhead store scans/                            into the partition Microsoft.Default
    bulkhead store --partition clinic-a a.zip b.tar.gz
    ssh pacs tar c images | bulkhead store --partition clinic-a -

    A run that is interrupted goes on where it was if the same command is given again. A file that the server has with
    the same bytes counts as done. A file whose instance the server has with other bytes is refused.

    Exit codes: 0 everything is stored, 1 some files are not stored, 2 the command line is wrong, 3 the server does not
    answer or does not accept the credentials, 130 interrupted.
    """
    _stop_like_interrupts()
    warnings.filterwarnings("ignore", module="pydicom")  # the server says what is wrong with a file
    partition = client.partition  # the first call: a server that does not answer is reported before anything is read
    console = error_console()
    console.print(f"Storing in {_place(client, partition)}", markup=False)
    path = journal_file or journal_path(state_folder(), client.url, partition or "", paths)
    with nullcontext() if no_journal else Journal(path) as journal:
        if journal and journal.found:
            console.print(
                f"An earlier run stored {journal.found:,} of these files. They are not sent again: {journal.path} "
                "remembers them, and --no-journal sends them all.",
                markup=False,
            )
        report, error = _run(client, paths, jobs, journal, quiet=quiet)
        if journal and report.is_complete:
            journal.remove()
    _print(report, as_json)
    _finish(report, error, can_go_on=journal is not None and STANDARD_INPUT not in paths)


def _run(
    client: ArchiveClient, paths: Sequence[Path], jobs: int, journal: Journal | None, *, quiet: bool
) -> tuple[StoreReport, ClientError | None]:
    with ShownProgress(error_console(), "Storing", size_of(paths), quiet=quiet) as progress:
        run = StoreRun(
            client,
            jobs=jobs,
            journal=journal,
            shown=lambda report: progress.show(report.weight, report.files, report.refused),
        )
        try:
            return run.run(found_files(paths, journal.has if journal else lambda _key: False)), None
        except ClientError as error:
            run.report.error = str(error)
            return run.report, error


def _print(report: StoreReport, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = report.document()
        text = orjson.dumps(_printable(document), option=orjson.OPT_INDENT_2).decode()
        click.echo(text)
    else:
        for line in report.lines():
            click.echo(_printable(line))


def _printable(value: Any) -> Any:
    """Return text that every terminal and JSON can hold. A file name may have bytes that are no UTF-8."""
    match value:
        case str():
            text = value.encode(errors="surrogateescape").decode(errors="replace")
            return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
        case list():
            return [_printable(each) for each in value]
        case dict():
            return {name: _printable(each) for name, each in value.items()}
    return value


def _finish(report: StoreReport, error: ClientError | None, *, can_go_on: bool) -> None:
    go_on = " Give the same command again to go on." if can_go_on else ""
    if error:
        click.echo(f"Error: {error}{go_on}", err=True)
        sys.exit(exit_code(error))
    if report.interrupted:
        click.echo(f"Interrupted.{go_on}", err=True)
        sys.exit(INTERRUPTED)
    if report.refused:
        sys.exit(FAILED)


def _place(client: ArchiveClient, partition: str | None) -> str:
    return f"{client.url}, " + (f"partition {partition}" if partition else "which has its partitions off")


def _stop_like_interrupts() -> None:
    """Let SIGTERM end the command as Ctrl-C does: with a summary, and with the journal in order."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
