"""Settings of the pages for people."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow.fields import Boolean

from app.settings.declaration import SettingsGroup, setting


@dataclass(frozen=True, kw_only=True)
class SiteSettings(SettingsGroup):
    """The pages for people: the front page, and everything under `/ui`, `/viewer` and `/docs`."""

    site: bool = setting(
        True, Boolean(), "Serve pages for people: `/`, `/ui`, `/docs`, and the viewer at `/viewer` if it is installed."
    )
