"""The rights that a verified JWT gives: its roles, its grants, and the grants that are stored for its caller
(conformance §13.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
import structlog

from app.services.access.authentication import StoredGrants
from app.services.access.jwt_claims import claim_at
from app.services.access.rights import Action, Grant, Rights, is_pattern
from app.services.access.roles import RoleDirectory

_log = structlog.get_logger(__name__)


class ClaimedRights:
    """Reads rights from the claims of a JWT. A claim that cannot be understood gives no right."""

    def __init__(
        self, *, roles: RoleDirectory, roles_claim: str, grants_claim: str, stored_grants: StoredGrants | None = None
    ) -> None:
        self._roles = roles
        self._roles_claim = roles_claim
        self._grants_claim = grants_claim
        self._stored_grants = stored_grants
        self._logged: set[str] = set()

    def of(self, issuer: str, claims: Mapping[str, Any]) -> Rights:
        """Return the rights of the caller, from all three sources together. Raises `StorageError`."""
        rights = Rights((*self._by_role(claims), *self._by_grant(issuer, claims)))
        return rights | self._stored_grants.of(issuer, claims) if self._stored_grants else rights

    def _by_role(self, claims: Mapping[str, Any]) -> Iterator[Grant]:
        """Yield a grant for each known role. A single text is a list of roles that commas separate."""
        value = claim_at(claims, self._roles_claim)
        names = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else ()
        found = {role.name: role for name in names if isinstance(name, str) and (role := self._roles.find(name))}
        return (role.granted() for role in found.values())

    def _by_grant(self, issuer: str, claims: Mapping[str, Any]) -> Iterator[Grant]:
        value = claim_at(claims, self._grants_claim)
        entries = value if isinstance(value, list) else [] if value is None else [value]
        for entry in entries:
            try:
                yield self._grant(entry)
            except ValueError:
                self._log_malformed(issuer)

    def _grant(self, entry: object) -> Grant:
        """Return the grant that an entry of the claim describes. Raises `ValueError` if it is malformed."""
        given = msgspec.convert(entry, _GrantEntry)
        if (given.role is None) == (given.actions is None):
            raise ValueError("A grant has either a role or actions.")
        partitions = tuple(given.partitions)
        if not partitions or not all(map(is_pattern, partitions)):
            raise ValueError("A grant has partitions.")
        expires = given.expires.timestamp() if given.expires else None
        if given.actions is not None:
            return Grant(actions=frozenset(map(Action, given.actions)), partitions=partitions, expires=expires)
        role = self._roles.find(given.role or "")
        return role.granted(partitions, expires) if role else Grant(actions=frozenset(), partitions=partitions)

    def _log_malformed(self, issuer: str) -> None:
        if issuer not in self._logged:  # once for each issuer: every call of such a caller would repeat it
            self._logged.add(issuer)
            _log.warning("a grant in a JWT is malformed", issuer=issuer, claim=self._grants_claim)


class _GrantEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the grants claim. An unknown member could be meant as a limit, so it makes the entry malformed."""

    partitions: list[str]
    role: str | None = None
    actions: list[str] | None = None
    expires: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
