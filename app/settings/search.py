"""Settings of searches."""

from __future__ import annotations

from dataclasses import dataclass

from app.settings.declaration import SettingsGroup, setting, whole_number


@dataclass(frozen=True, kw_only=True)
class SearchSettings(SettingsGroup):
    """What a search may cost."""

    max_offset: int = setting(
        10_000,
        whole_number(0, 2**31 - 1),
        "Highest `offset` of a search. All matches before it are read. The URL in the header `Link` needs no offset.",
    )
