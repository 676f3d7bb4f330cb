"""Builds the migration of an archive to another engine or place."""

from __future__ import annotations

from collections.abc import Callable

from app.bootstrap.engines import Engine, build_engine
from app.bootstrap.recovery import open_archive
from app.errors import ConfigurationError
from app.services.recovery.migration import Migration, reopen
from app.services.recovery.migration_parts import Store
from app.services.recovery.verification import ShowProgress
from app.settings import Settings


def build_migration(
    settings: Settings, target: Settings, open_layout: Callable[[Engine], None], show: ShowProgress
) -> Migration:
    """Return the migration from the archive of the settings to that of `target`.

    Brings the source to the current layout. Raises `ConfigurationError` if there is no source.
    """
    if store_name(settings) == store_name(target):
        raise ConfigurationError(f"The target is {store_name(settings)}, which is the source. Name another one.")
    _require_apart(settings, target)
    archive = open_archive(settings, open_layout)
    engine = build_engine(target)
    return Migration(
        Store(store_name(settings), archive.table, archive.blobs),
        Store(store_name(target), engine.table, engine.blobs),
        sequence=archive.feed.sequence,
        show=show,
    )


def _require_apart(source: Settings, target: Settings) -> None:
    """Raise `ConfigurationError` if one data folder is inside of the other: files of the one would be in the other."""
    if source.engine != target.engine or source.engine == "aws":
        return
    first, second = source.data_dir.resolve(), target.data_dir.resolve()
    if first.is_relative_to(second) or second.is_relative_to(first):
        raise ConfigurationError(f"{second} and the source {first} are inside of each other. Name another folder.")


def reopen_source(settings: Settings) -> None:
    """Let processes open the archive of the settings again, after it was moved.

    Raises `RecoveryError` if it was not moved.
    """
    engine = build_engine(settings)
    reopen(Store(store_name(settings), engine.table, engine.blobs))


def store_name(settings: Settings) -> str:
    """Return a name of the place of an archive, for people and for the mark of the target."""
    if settings.engine == "aws":
        return f"table {settings.table} and bucket {settings.bucket}"
    return f"data folder {settings.data_dir.resolve()}"
