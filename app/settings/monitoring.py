"""Settings of the health checks and of the log."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow.fields import String
from marshmallow.validate import OneOf

from app.settings.declaration import Names, SettingsGroup, setting


@dataclass(frozen=True, kw_only=True)
class MonitoringSettings(SettingsGroup):
    """The health checks that are made, and the level and the form of the log."""

    health_exclude: tuple[str, ...] = setting((), Names(), "Health checks to leave out, separated by commas.")
    log_level: str = setting(
        "info", String(validate=OneOf(("debug", "info", "warning", "error"))), "The lowest level that is logged."
    )
    log_format: str = setting(
        "json",
        String(validate=OneOf(("json", "console"))),
        "Form of a log line. `json`: one JSON object. `console`: text for people.",
    )
