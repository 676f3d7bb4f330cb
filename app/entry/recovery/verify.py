"""`bulkhead verify`: checks every row, file, document and number of an archive against the others."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from app.bootstrap import open_layout
from app.bootstrap.recovery import build_verification, open_archive
from app.entry.configured import FAILED, configured
from app.entry.recovery.ending import ending
from app.entry.recovery.options import json_option, quiet_option, resume_option, write_json
from app.entry.recovery.printed_report import print_report
from app.entry.recovery.shown_progress import ArchiveProgress
from app.settings import Settings


@click.command()
@click.option("--partition", metavar="NAME", help="Check this partition alone. Default: all of them.")
@click.option("--digest", is_flag=True, help="Read every file, and compare its SHA-256 with that of the store.")
@click.option("--repair", is_flag=True, help="Mend what can be mended without loss.")
@click.option(
    "--delete-lost", is_flag=True, help="With --repair: delete instances whose file is lost or damaged. It is final."
)
@resume_option
@json_option
@quiet_option
@configured
def verify(
    settings: Settings,
    partition: str | None,
    digest: bool,
    repair: bool,
    delete_lost: bool,
    resume: Path | None,
    json_file: Path | None,
    quiet: bool,
) -> None:
    """Check that the archive is complete and consistent.

    It runs on the settings of the service, and the service may run meanwhile. Nothing is changed without --repair.
    Every row must have its file in the right size, its documents, its postings and its entry in the change feed. Every
    file, document and posting must have a row. The numbers of instances and the statistics must be those of the rows,
    and the numbers of the change feed must have no gaps. What looks like a fault is looked at again after some seconds,
    so a store or a deletion that runs is no fault.

    --repair writes missing postings and documents again, from the rows and the files. It removes postings and documents
    that no row names, corrects numbers, and queues files that no row names for removal in a day or later. It deletes no
    instance, unless you add --delete-lost.

    Exit codes: 0 no fault is left, 1 faults are left, or the data store failed, 2 the settings or the command line
    are wrong, 130 interrupted.
    """
    if delete_lost and not repair:
        raise click.UsageError("--delete-lost needs --repair.")
    archive = open_archive(settings, open_layout)
    with ending("With --resume the next call goes on."), ArchiveProgress(quiet=quiet) as show:
        check = build_verification(
            settings,
            archive,
            partition_name=partition,
            digests=digest,
            resume=resume,
            show=show,
            repair=repair,
            delete_lost=delete_lost,
        )
        report = check.run()
    print_report(report, to_stderr=json_file is not None)
    write_json(json_file, report.as_json())
    if report.left:
        sys.exit(FAILED)
