"""`bulkhead store`: store files and folders on a server (conformance §3, §15.6)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import click

from app.client.connection import ArchiveClient
from app.client.errors import ClientError
from app.client.store.journal import Journal, journal_path, state_folder
from app.client.store.report import StoreReport
from app.client.store.run import StoreRun
from app.client.store.sources import STANDARD_INPUT, found_files, size_of
from app.entry.client_commands.common import (
    calls_server,
    error_console,
    json_option,
)
from app.entry.client_commands.progress import ShownProgress
from app.entry.client_commands.transfer_ending import end, print_report, stop_like_interrupts


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
    stop_like_interrupts()
    warnings.filterwarnings("ignore", module="pydicom")  # the server says what is wrong with a file
    partition = client.partition  # the first call: a server that does not answer is reported before anything is read
    console = error_console()
    console.print(f"Storing in {_place(client, partition)}", markup=False)
    path = journal_file or journal_path(state_folder(), client.url, partition or "", paths)
    with nullcontext() if no_journal else Journal(path, client.partition_mark) as journal:
        if journal and journal.found:
            console.print(
                f"An earlier run stored {journal.found:,} of these files. They are not sent again: {journal.path} "
                "remembers them, and --no-journal sends them all.",
                markup=False,
            )
        report, error = _run(client, paths, jobs, journal, quiet=quiet)
        if journal and not report.ended_early:
            journal.remove()
    print_report(report, as_json)
    can_go_on = journal is not None and STANDARD_INPUT not in paths
    end(report, error, "Give the same command again to go on." if can_go_on else "")


def _run(
    client: ArchiveClient, paths: Sequence[Path], jobs: int, journal: Journal | None, *, quiet: bool
) -> tuple[StoreReport, ClientError | None]:
    with ShownProgress(error_console(), "Storing", size_of(paths), quiet=quiet) as progress:
        run = StoreRun(
            client,
            jobs=jobs,
            journal=journal,
            shown=lambda report: progress.show(
                report.weight, files=report.files, size=report.bytes_sent, failed=report.refused
            ),
        )
        try:
            return run.run(found_files(paths, journal.has if journal else lambda _key: False)), None
        except ClientError as error:
            run.report.error = str(error)
            return run.report, error


def _place(client: ArchiveClient, partition: str | None) -> str:
    return f"{client.url}, " + (f"partition {partition}" if partition else "which has its partitions off")
