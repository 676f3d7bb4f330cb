"""`bulkhead restore-check`: mends a table that was restored to an earlier moment."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from app.bootstrap import open_layout
from app.bootstrap.recovery import build_restored_table, build_verification, open_archive
from app.entry.configured import FAILED, configured
from app.entry.recovery.ending import ending
from app.entry.recovery.options import json_option, quiet_option, write_json
from app.entry.recovery.printed_report import print_report
from app.entry.recovery.shown_progress import ArchiveProgress
from app.services.recovery.findings import Report
from app.services.recovery.repair import LOST
from app.services.recovery.restored_table import HIGHEST_MARGIN, MARGIN, RestoreReport
from app.settings import Settings

_SHOWN = 20
"""Files that the text names. The JSON report names more."""


@click.command(name="restore-check")
@click.option(
    "--margin",
    type=click.IntRange(min=0, max=HIGHEST_MARGIN),
    default=MARGIN,
    show_default=True,
    help="Watermarks to pass over. More than were given since the moment of the table.",
)
@json_option
@quiet_option
@configured
def restore_check(settings: Settings, margin: int, json_file: Path | None, quiet: bool) -> None:
    """Mend the table after it was restored to an earlier moment, and check the archive.

    Run it before any server or worker starts on the restored table. It raises the counter of watermarks, so that no
    number is given twice. It indexes the files that were stored after the moment of the table, from their own bytes.
    It names the rows whose files were removed after that moment. At the end it checks the whole archive, as
    `bulkhead verify` does. If it is interrupted, call it again.

    Exit codes: 0 no fault is left, 1 faults are left, or the data store failed, 2 the settings or the command line
    are wrong, 130 interrupted.
    """
    archive = open_archive(settings, open_layout)
    with ending("Give the same command again."), ArchiveProgress(quiet=quiet) as show:
        restored = build_restored_table(settings, archive, show=show, margin=margin).run()
        checked = build_verification(
            settings, archive, partition_name=None, digests=False, resume=None, show=show
        ).run()
    for line in _lines(restored):
        click.echo(line, err=json_file is not None)
    print_report(checked, to_stderr=json_file is not None)
    for line in _advice(restored, checked):
        click.echo(line, err=json_file is not None)
    write_json(json_file, {"restored": restored.as_json(), "checked": checked.as_json()})
    if checked.left or restored.indexed.failures:
        sys.exit(FAILED)


def _lines(report: RestoreReport) -> Iterator[str]:
    yield f"The highest watermark in the table is {report.highest_watermark:,}, the next one {report.next_watermark:,}."
    yield f"The change feed ends with number {report.last_number:,}. Consumers that have read beyond it go back to it."
    yield f"{report.forgotten_records:,} records of open stores are forgotten."
    yield f"{report.indexed.instances:,} instances were stored later. They are indexed now."
    if report.indexed.generated_names:
        yield "Partitions whose name is lost: " + ", ".join(report.indexed.generated_names)
    for each in report.indexed.unreadable[:_SHOWN]:
        yield f"Not indexed: {each['blob']}: {each['reason']}"


def _advice(report: RestoreReport, checked: Report) -> Iterator[str]:
    """Yield what an operator does next."""
    if report.newer:
        yield (
            f"{len(report.newer):,} files are newer than the version of their row: a bulk update wrote them later. "
            "Run the update again. `bulkhead verify --repair` removes these files."
        )
    if any(checked.found[kind.name.lower()] for kind in LOST):
        yield (
            "Rows whose file is lost: the instances were deleted later. Delete them with `bulkhead verify --repair "
            "--delete-lost`, or bring the files back from the versions of the bucket (infra/undelete.py)."
        )
