"""Tokens of our own, for callers without an identity provider: creation, list, revocation, verification.

Conformance §13.6.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from app.errors import InvalidCredentials, InvalidRequest, TokenNotFound
from app.services.access import token_secrets
from app.services.access.authentication import Verified
from app.services.access.caller import Caller
from app.services.access.rights import Rights
from app.services.access.roles import RoleDirectory
from app.services.access.rules import (
    MAX_NAME,
    MAX_ROLES,
    check_expiry,
    check_length,
    check_partitions,
    check_role,
    check_text,
)
from app.services.access.token_uses import TokenUses
from app.storage.access.ids import new_id
from app.storage.access.tokens import ListedToken, Token, TokenStore
from app.storage.table import clock

MAX_TOKENS: Final = 10_000
"""The most tokens of an archive."""

GrantsOfToken = Callable[[str], Rights]
"""Returns the rights that stored grants give to the token with an id. Raises `StorageError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """A token to be created. `expires` is in seconds since 1970; None: never."""

    name: str
    roles: tuple[str, ...]
    partitions: tuple[str, ...]
    expires: int | None = None


class NewToken(NamedTuple):
    """A token that was created, and its secret. The secret is nowhere else. `repr` never shows it."""

    token: Token
    secret: str

    def __repr__(self) -> str:
        return f"NewToken(token={self.token!r})"


class Tokens:
    """The administration of the tokens.

    `changed` is called after a token was revoked, so that this process refuses it at once.
    """

    def __init__(
        self,
        store: TokenStore,
        roles: RoleDirectory,
        *,
        changed: Callable[[], None],
        now: Callable[[], float] = lambda: clock.now(),
    ) -> None:
        self._store = store
        self._roles = roles
        self._changed = changed
        self._now = now

    def create(self, request: TokenRequest, created_by: str) -> NewToken:
        """Create a token. Raises `InvalidField` for the first field that breaks its rule, and `InvalidRequest` if the
        archive has `MAX_TOKENS` tokens."""
        now = self._now()
        check_text("name", request.name, MAX_NAME)
        check_length("roles", request.roles, MAX_ROLES)
        for at, role in enumerate(request.roles):
            check_role(f"roles[{at}]", role, self._roles)
        check_partitions(request.partitions)
        check_expiry(request.expires, now)
        if self._store.count() >= MAX_TOKENS:
            raise InvalidRequest(f"The archive has {MAX_TOKENS} tokens. Revoke some of them first.")
        secret = token_secrets.new_secret()
        token = Token(
            id=new_id(now),
            digest=token_secrets.digest(secret),
            name=request.name,
            roles=request.roles,
            partitions=request.partitions,
            created=int(now),
            created_by=created_by,
            expires=request.expires,
        )
        self._store.add(token)
        return NewToken(token, secret)

    def page(self, offset: int, limit: int) -> list[ListedToken]:
        """Return a page of the tokens, the oldest first."""
        return self._store.page(offset, limit)

    def listed(self) -> Iterator[ListedToken]:
        """Yield all tokens, the oldest first."""
        return self._store.listed()

    def revoke(self, token: str) -> None:
        """Remove the token with this id. Raises `TokenNotFound`."""
        if not self._store.remove(token):
            raise TokenNotFound(token)
        self._changed()


class TokenVerifier:
    """Finds the caller that a token names."""

    def __init__(
        self,
        store: TokenStore,
        roles: RoleDirectory,
        grants_of: GrantsOfToken,
        uses: TokenUses,
        now: Callable[[], float] = lambda: clock.now(),
    ) -> None:
        self._store = store
        self._roles = roles
        self._grants_of = grants_of
        self._uses = uses
        self._now = now

    def verify(self, secret: str) -> Verified:
        """Return the caller that a token names. Raises `InvalidCredentials` and `StorageError`.

        A text that is no token is refused without a read. A token costs one read, and its stored grants none while they
        are in memory. Roles that do not exist any more grant nothing.
        """
        if not token_secrets.is_well_formed(secret):
            raise InvalidCredentials
        digest = token_secrets.digest(secret)
        token = self._store.find(digest)
        if token is None or not hmac.compare_digest(token.digest, digest):
            raise InvalidCredentials
        if token.expires is not None and token.expires <= self._now():
            raise InvalidCredentials(expired=True)
        self._uses.note(token)
        rights = self._rights(token) | self._grants_of(token.id)
        return Verified(caller=Caller(subject=token.name, token=token.id, rights=rights), valid_until=token.expires)

    def _rights(self, token: Token) -> Rights:
        roles = filter(None, map(self._roles.find, token.roles))
        return Rights(tuple(role.granted(token.partitions, token.expires) for role in roles))
