"""Settings of the sign-in of people in browsers (conformance §15.2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.settings.declaration import FilePath, SettingsGroup, setting, whole_number


@dataclass(frozen=True, kw_only=True)
class SignInSettings(SettingsGroup):
    """How long people stay signed in, and the key that protects their cookies."""

    session_seconds: int = setting(
        28_800,
        whole_number(60, 604_800),
        "How long people stay signed in in a browser, in seconds. A session also ends when its credential ends.",
    )
    session_key_file: Path | None = setting(  # noqa: RUF009 - a field
        None,
        FilePath(),
        "File with the secret that seals session cookies, 32 bytes or more. Without it the secret is in the table. "
        "A new secret ends all sessions.",
    )
