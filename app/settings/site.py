"""Settings of the pages for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from marshmallow.fields import Boolean

from app.settings.declaration import FilePath, SettingsGroup, setting


@dataclass(frozen=True, kw_only=True)
class SiteSettings(SettingsGroup):
    """The pages for people: the front page, and everything under `/ui`, `/viewer` and `/docs`."""

    site: bool = setting(
        True, Boolean(), "Serve pages for people: `/`, `/ui`, `/docs`, and the viewer at `/viewer` if it is installed."
    )
    viewer_dir: Path = setting(  # noqa: RUF009 - a field
        Path(".viewer"), FilePath(), "Folder of the OHIF viewer. `make viewer` fills it. Without it there is no viewer."
    )
