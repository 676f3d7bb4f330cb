"""Settings of the change feed."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow.fields import Boolean

from app.settings.declaration import SettingsGroup, setting


@dataclass(frozen=True, kw_only=True)
class ChangeFeedSettings(SettingsGroup):
    """What the entries of the change feed say."""

    feed_file_path: bool = setting(
        False,
        Boolean(),
        "Name the file of an instance in its change feed entries: the S3 key, or the path below the data folder.",
    )
