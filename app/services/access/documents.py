"""Tokens and stored grants as JSON objects, for HTTP and for the command line (conformance §13.6)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from app.storage.access.grants import StoredGrant
from app.storage.access.tokens import ListedToken, Token


def token_document(token: Token) -> dict[str, Any]:
    """Return a token without its secret and its last use."""
    return {
        "id": token.id,
        "name": token.name,
        "roles": token.roles,
        "partitions": token.partitions,
        "expires": time_text(token.expires),
        "created": time_text(token.created),
    }


def listed_token_document(listed: ListedToken) -> dict[str, Any]:
    """Return a token of the list."""
    return token_document(listed.token) | {"lastUsed": time_text(listed.last_used)}


def grant_document(grant: StoredGrant) -> dict[str, Any]:
    """Return a stored grant."""
    claim = {"issuer": grant.issuer, "claim": grant.claim, "value": grant.value}
    return {
        "id": grant.id,
        "subject": {"token": grant.token} if grant.token else claim,
        **({"role": grant.role} if grant.role else {"actions": grant.actions}),
        "partitions": grant.partitions,
        "expires": time_text(grant.expires),
        "created": time_text(grant.created),
    }


def time_text(seconds: int | None) -> str | None:
    """Return a time in seconds since 1970 as `2027-01-01T00:00:00Z`; None stays None."""
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()}Z"
