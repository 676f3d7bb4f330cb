"""Stored grants: creation, list, removal (conformance §13.6). `stored_grants.py` has the rights that they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from app.errors import GrantNotFound, InvalidField, InvalidRequest
from app.services.access.roles import RoleDirectory
from app.services.access.rules import (
    check_actions,
    check_expiry,
    check_partitions,
    check_role,
    check_text,
    quoted,
)
from app.storage.access.grants import GrantStore, StoredGrant
from app.storage.access.ids import new_id
from app.storage.table import clock

MAX_GRANTS: Final = 10_000
"""The most grants of an archive. Each process keeps all of them in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSubject:
    """Every caller with a JWT of this issuer whose claim has this value, or has it in its array."""

    issuer: str
    claim: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSubject:
    """The caller with the token of our own that has this id."""

    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantRequest:
    """A grant to be stored: a role or actions. `expires` is in seconds since 1970; None: never."""

    subject: ClaimSubject | TokenSubject
    role: str = ""
    actions: tuple[str, ...] = ()
    partitions: tuple[str, ...]
    expires: int | None = None


class Grants:
    """The administration of the stored grants.

    `has_token` says whether there is a token with an id. `changed` is called after a grant was stored or removed, so
    that it counts in this process at once, or no longer.
    """

    def __init__(
        self,
        store: GrantStore,
        roles: RoleDirectory,
        *,
        has_token: Callable[[str], bool],
        changed: Callable[[], None],
        now: Callable[[], float] = lambda: clock.now(),
    ) -> None:
        self._store = store
        self._roles = roles
        self._has_token = has_token
        self._changed = changed
        self._now = now

    def create(self, request: GrantRequest, created_by: str) -> StoredGrant:
        """Store a grant. Raises `InvalidField` for the first field that breaks its rule, and `InvalidRequest` if the
        archive has `MAX_GRANTS` grants."""
        now = self._now()
        subject = self._checked(request.subject)
        if bool(request.role) == bool(request.actions):
            raise InvalidField("role", "A grant has either a role or actions.")
        if request.role:
            check_role("role", request.role, self._roles)
        else:
            check_actions(request.actions)
        check_partitions(request.partitions)
        check_expiry(request.expires, now)
        if self._store.count() >= MAX_GRANTS:
            raise InvalidRequest(f"The archive has {MAX_GRANTS} grants. Remove some of them first.")
        grant = StoredGrant(
            id=new_id(now),
            role=request.role,
            actions=request.actions,
            partitions=request.partitions,
            created=int(now),
            created_by=created_by,
            expires=request.expires,
            **subject,
        )
        self._store.add(grant)
        self._changed()
        return grant

    def page(self, offset: int, limit: int) -> list[StoredGrant]:
        """Return a page of the grants, the oldest first."""
        return self._store.page(offset, limit)

    def listed(self) -> Iterator[StoredGrant]:
        """Yield all grants, the oldest first."""
        return self._store.listed()

    def remove(self, grant: str) -> None:
        """Remove the grant with this id. Raises `GrantNotFound`."""
        if not self._store.remove(grant):
            raise GrantNotFound(grant)
        self._changed()

    def _checked(self, subject: ClaimSubject | TokenSubject) -> dict[str, str]:
        """Return the subject as fields of a `StoredGrant`. Raises `InvalidField`."""
        if isinstance(subject, TokenSubject):
            if not self._has_token(subject.token):
                raise InvalidField("subject.token", f"There is no token with ID {quoted(subject.token)}.")
            return {"token": subject.token}
        fields = {"issuer": subject.issuer, "claim": subject.claim, "value": subject.value}
        for name, text in fields.items():
            check_text(f"subject.{name}", text)
        return fields
