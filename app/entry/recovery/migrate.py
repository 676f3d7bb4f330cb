"""`bulkhead migrate`: moves an archive to another engine or place (app/docs/operations.md)."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from app.bootstrap import open_layout
from app.bootstrap.migration import build_migration, reopen_source
from app.entry.client_commands.common import json_option
from app.entry.configured import FAILED, configured
from app.entry.recovery.ending import ending, print_report
from app.entry.recovery.shown_progress import ArchiveProgress
from app.settings import Settings


@click.command()
@click.option("--to", "engine", type=click.Choice(("aws", "embedded")), help="The engine of the target.")
@click.option("--table", default="", help="The DynamoDB table of the target.")
@click.option("--bucket", default="", help="The S3 bucket of the target.")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="The data folder of the target.")
@click.option("--final", is_flag=True, help="Copy the rest, compare, and open the target. Nobody may use the source.")
@click.option("--reopen", is_flag=True, help="Open the archive of the settings again, which was moved, and end.")
@click.option("--no-digests", is_flag=True, help="Compare sizes only, and do not read every file of the target.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@json_option
@configured
def migrate(
    settings: Settings,
    engine: str | None,
    table: str,
    bucket: str,
    data_dir: Path | None,
    final: bool,
    reopen: bool,
    no_digests: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Move the archive of the settings to the target that the options name, which must be empty.

    Without --final it copies while the service runs. Give the command as often as you like: it copies what is new, and
    goes on after an interruption. Then stop all servers, workers and gateways of the archive, and give it with --final:
    it copies the difference, compares every item and file, and opens the target. Until then no process opens the
    target, and after that none opens the source.

    \b
    bulkhead migrate --to aws --table bulkhead --bucket bulkhead-files
    bulkhead migrate --to aws --table bulkhead --bucket bulkhead-files --final
    BULKHEAD_ENGINE=aws BULKHEAD_TABLE=bulkhead BULKHEAD_BUCKET=bulkhead-files \\
      bulkhead migrate --to embedded --data-dir /srv/archive --final

    Exit codes: 0 success, 1 the migration failed or files are damaged in the source, 2 the settings or the command line
    are wrong, 130 interrupted.
    """
    if reopen:
        reopen_source(settings)
        click.echo("The archive can be opened again.")
        return
    target = _target(settings, engine, table, bucket, data_dir)
    with ending("Give the same command again to go on."), ArchiveProgress(quiet=quiet) as show:
        migration = build_migration(settings, target, open_layout, show)
        report = migration.finish(digests=not no_digests) if final else migration.copy()
    print_report(report, as_json)
    if report.damaged_files:
        sys.exit(FAILED)


def _target(settings: Settings, engine: str | None, table: str, bucket: str, data_dir: Path | None) -> Settings:
    """Return the settings of the target. Raises `click.UsageError` if an option is missing."""
    if engine is None:
        raise click.UsageError("Missing option '--to'.")
    if engine == "aws":
        if not (table and bucket):
            raise click.UsageError("--to aws needs --table and --bucket.")
        return replace(settings, engine="aws", table=table, bucket=bucket)
    if data_dir is None:
        raise click.UsageError("--to embedded needs --data-dir.")
    return replace(settings, engine="embedded", data_dir=data_dir)
