"""Settings of access: how callers are known, and where their rights come from (conformance §13)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.settings.declaration import Names, SettingsGroup, setting, variable

NONE: Final = "none"
JWT: Final = "jwt"
TOKENS: Final = "tokens"


@dataclass(frozen=True, kw_only=True)
class AccessSettings(SettingsGroup):
    """Which credentials the service accepts."""

    auth: tuple[str, ...] = setting(
        (NONE,),
        Names(f"{NONE}|{JWT}|{TOKENS}", f"`{NONE}`, `{JWT}` or `{TOKENS}`"),
        "Credentials that the service accepts, separated by commas: `jwt`, `tokens`. "
        "`none`: every caller may make every call.",
    )

    @property
    def authenticates(self) -> bool:
        """Whether each request needs credentials."""
        return self.auth != (NONE,)

    def contradictions(self) -> Iterator[str]:
        """Yield a line when `none` stands beside a kind of credentials."""
        if self.authenticates and NONE in self.auth:
            yield f"{variable('auth')}: `{NONE}` stands alone."
