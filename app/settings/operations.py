"""Settings of operations in the background."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow.fields import Boolean

from app.settings.declaration import SettingsGroup, setting, whole_number


@dataclass(frozen=True, kw_only=True)
class OperationSettings(SettingsGroup):
    """Whether operations start, and how long their results are kept."""

    disable_operations: bool = setting(
        False, Boolean(), "Start no re-indexing, export or bulk update. Those that have started continue."
    )
    keep_succeeded_days: int = setting(30, whole_number(1), "Number of days that a successful operation is kept.")
    keep_failed_days: int = setting(90, whole_number(1), "Number of days that a failed operation is kept.")
