"""`bulkhead backup` and `bulkhead restore`: backups of the embedded engine (app/docs/operations.md)."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from app import __version__
from app.bootstrap.backup import build_backup, require_data_folder
from app.entry.client_commands.common import json_option
from app.entry.configured import FAILED, configured
from app.entry.recovery.ending import ending, print_report
from app.entry.recovery.shown_progress import ArchiveProgress
from app.services.recovery import manifest
from app.services.recovery import restore as restoring
from app.services.recovery.backup_folder import BackupFolder
from app.settings import Settings

_folder = click.Path(file_okay=False, path_type=Path)
_quiet = click.option("--quiet", is_flag=True, help="Show no progress.")


@click.command()
@click.argument("destination", type=_folder)
@click.option("--keep", default=7, show_default=True, type=click.IntRange(1), help="The number of backups to keep.")
@_quiet
@json_option
@configured
def backup(settings: Settings, destination: Path, keep: int, quiet: bool, as_json: bool) -> None:
    """Back the data folder up into the folder DESTINATION, while the service runs.

    The first backup copies all files. Each further backup copies the table and the files that are new. A backup that is
    interrupted leaves the earlier ones whole, and the next one goes on with the files that are copied. Put DESTINATION
    on another disk.

    \b
    bulkhead backup /mnt/backup/archive
    bulkhead restore /mnt/backup/archive --list

    Exit codes: 0 success, 1 the backup failed, 2 the settings or the command line are wrong, 130 interrupted.
    """
    with ending("Give the same command again to go on."), ArchiveProgress(quiet=quiet) as show:
        report = build_backup(settings, destination, show, release=__version__).run(keep)
    print_report(report, as_json)


@click.command()
@click.argument("folder", metavar="BACKUP", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--generation", default="", metavar="NAME", help="The backup to take. Default: the newest one.")
@click.option("--list", "listed", is_flag=True, help="Print the names of the backups, the oldest first, and end.")
@click.option("--check", "checked", is_flag=True, help="Compare all files of the backup with its manifest, and end.")
@_quiet
@json_option
@configured
def restore(
    settings: Settings, folder: Path, generation: str, listed: bool, checked: bool, quiet: bool, as_json: bool
) -> None:
    """Restore the backup in the folder BACKUP into the data folder, which must be empty.

    Every file is compared with the manifest of the backup. If the restore is interrupted, give the same command again.
    Start the service after it. Consumers of the change feed must begin anew, because the restored archive gives the
    numbers after the backup again.

    \b
    BULKHEAD_DATA_DIR=/srv/restored bulkhead restore /mnt/backup/archive
    bulkhead restore /mnt/backup/archive --check

    Exit codes: 0 success, 1 files of the backup are missing or damaged, or the restore failed, 2 the settings or the
    command line are wrong, 130 interrupted.
    """
    backups = BackupFolder(folder)
    with ending("Give the same command again to go on."):
        if listed:
            for name in backups.generations():
                heading = manifest.heading(backups.manifest(name))
                click.echo(f"{name}  made by {heading.release}")
            return
        chosen = restoring.chosen_generation(backups, generation)
        require_data_folder(settings)
        with ArchiveProgress(quiet=quiet) as show:
            if checked:
                report = restoring.check(backups, chosen, show)
            else:
                report = restoring.restore(backups, chosen, settings.data_dir, show)
    print_report(report, as_json)
    if report.faulty:
        sys.exit(FAILED)
