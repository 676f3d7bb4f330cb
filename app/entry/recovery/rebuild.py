"""`bulkhead rebuild`: makes the index of an archive again from its files."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from app.bootstrap import open_layout
from app.bootstrap.recovery import build_rebuild, open_empty_archive
from app.entry.configured import FAILED, configured
from app.entry.recovery.ending import ending
from app.entry.recovery.options import json_option, quiet_option, write_json
from app.entry.recovery.shown_progress import ArchiveProgress
from app.services.policy import V1, V2
from app.services.recovery.rebuild import LOST, RebuildReport
from app.settings import Settings

_SHOWN = 20
"""Files that the text names. The JSON report names more."""


@click.command()
@click.option(
    "--stored-by",
    type=click.Choice(["v1", "v2"]),
    default="v2",
    show_default=True,
    help="The API version that stored most of the files. It decides which invalid values the metadata leave out.",
)
@json_option
@quiet_option
@configured
def rebuild(settings: Settings, stored_by: str, json_file: Path | None, quiet: bool) -> None:
    """Make the index again from the files in the data folder or the bucket alone.

    The table must be empty: create a new one with `bulkhead init`, or move index.sqlite away. Stop the service first.
    Every file is read once, and gets the rows, the metadata and the entry in the change feed that its store gave it.
    No file is copied or changed. If the command is interrupted, call it again: it goes on.

    Exit codes: 0 success, 1 files that could not be indexed, or the data store failed, 2 the table is not empty, or
    the settings or the command line are wrong, 130 interrupted.
    """
    archive = open_empty_archive(settings, open_layout)
    with ending("Give the same command again to go on."), ArchiveProgress(quiet=quiet) as show:
        first_policy = V1 if stored_by == "v1" else V2
        report = build_rebuild(settings, archive, show=show, first_policy=first_policy).run()
    for line in _lines(report):
        click.echo(line, err=json_file is not None)
    write_json(json_file, report.as_json())
    if report.failures:
        sys.exit(FAILED)


def _lines(report: RebuildReport) -> list[str]:
    lines = [
        f"{report.instances:,} instances indexed, {report.updated:,} of them with an original version. "
        f"{report.partitions:,} partitions.",
    ]
    if report.existing:
        lines.append(f"{report.existing:,} instances were indexed already.")
    if report.generated_names:
        lines.append("Partitions whose name is lost: " + ", ".join(report.generated_names))
    if report.superseded:
        lines.append(f"{report.superseded:,} versions between the original and the current one are left over.")
    lines += [f"Not indexed: {each['blob']}: {each['reason']}" for each in report.unreadable[:_SHOWN]]
    if report.failures > _SHOWN:
        lines.append(f"… {report.failures:,} files were not indexed.")
    lines.append("The files do not have, so it is not rebuilt: " + "; ".join(LOST) + ".")
    lines.append("Run `bulkhead verify` now.")
    return lines
