"""Settings of calls from browsers: cross-origin resource sharing (CORS)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from marshmallow.fields import Boolean

from app.settings.declaration import Names, SettingsGroup, setting, variable, whole_number

# flask-cors takes an entry with other characters for a regular expression, and `https://*.example.org` as a regular
# expression allows far more origins than it seems to.
_ORIGINS: Final = (r"\*|https?://(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", "scheme://host[:port], or * for any")
_HEADERS: Final = (r"\*|[\w-]+", "the name of a header, or * for any")
_METHODS: Final = (r"[A-Za-z]+", "a method")


@dataclass(frozen=True, kw_only=True)
class CorsSettings(SettingsGroup):
    """Which web pages may call the service from a browser, and how."""

    cors_origins: tuple[str, ...] = setting(
        (),
        Names(*_ORIGINS),
        "Origins whose pages may call and show answers in a browser, separated by commas. `*` is any. Default: none.",
    )
    cors_headers: tuple[str, ...] = setting(
        (), Names(*_HEADERS), "Request headers that such a call may send. Default: any."
    )
    cors_methods: tuple[str, ...] = setting((), Names(*_METHODS), "Methods that such a call may use. Default: any.")
    cors_max_age: int = setting(600, whole_number(0), "How long a browser may remember the answer to a preflight.")
    cors_credentials: bool = setting(False, Boolean(), "Whether such a call may send credentials.")

    def contradictions(self) -> Iterator[str]:
        """Yield a line when credentials would be accepted from any origin."""
        if self.cors_credentials and "*" in self.cors_origins:
            yield f"{variable('cors_credentials')} with {variable('cors_origins')}=*: Credentials need named origins."
