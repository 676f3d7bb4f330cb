"""The caller of a request, after its credentials were checked (conformance §13.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from app.services.access.rights import ALL_RIGHTS, Rights


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent the request, and what it may do.

    `issuer` and `subject` are those of its JWT. A caller with a token of our own has the token's id as `token`, and the
    token's name as its subject.
    """

    subject: str
    rights: Rights
    issuer: str = ""
    token: str = ""

    @property
    def identity(self) -> str:
        """The text that names this caller in stored records. Two callers with one text are the same."""
        if self.token:
            return f"token {self.token}"
        return f"jwt {quote(self.issuer)} {self.subject}" if self.issuer else self.subject


ANONYMOUS: Final = Caller(subject="anonymous", rights=ALL_RIGHTS)
"""Every caller, as long as the service does not authenticate. It may do everything."""

NOBODY: Final = Caller(subject="", rights=Rights())
"""The caller of a route that needs no credentials, while the service authenticates."""
