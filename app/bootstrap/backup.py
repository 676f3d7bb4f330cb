"""Builds backup and restore of the embedded engine."""

from __future__ import annotations

from pathlib import Path

from app.bootstrap.engines import INDEX
from app.errors import ConfigurationError
from app.services.recovery.backup import Backup
from app.services.recovery.backup_folder import BackupFolder
from app.services.recovery.verification import ShowProgress
from app.settings import Settings, variable


def build_backup(settings: Settings, destination: Path, show: ShowProgress, *, release: str) -> Backup:
    """Return the backup of the archive into a folder. Nothing is created.

    Raises `ConfigurationError` if there is no archive, or if it is not in a data folder.
    """
    from app.engines.embedded.backup_source import FolderSource

    require_data_folder(settings)
    index = settings.data_dir / INDEX
    if not index.exists():
        raise ConfigurationError(f"{variable('data_dir')}: {settings.data_dir} has no archive.")
    source = FolderSource(index, settings.data_dir / "blobs")
    return Backup(
        source,
        data_folder=settings.data_dir,
        folder=BackupFolder(destination),
        release=release,
        show=show,
    )


def require_data_folder(settings: Settings) -> None:
    """Raise `ConfigurationError` if the archive is not in a data folder."""
    if settings.engine != "embedded":
        raise ConfigurationError(
            f"{variable('engine')}: backup and restore are for the embedded engine. "
            "For the aws engine use the backups of DynamoDB and the versions of S3 (infra/README.md)."
        )
