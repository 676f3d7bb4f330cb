"""The rights that stored grants give to a caller (conformance §13.6).

10,000 grants take about 5 MB in a process. To read them takes 0.2 s on the embedded engine, and about 650 read units in
a few pages on DynamoDB. Each process reads them when they changed, and otherwise one item every five seconds at most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.services.access.jwt_claims import claim_values
from app.services.access.rights import Action, Grant, Rights
from app.services.access.roles import RoleDirectory
from app.storage.access.grants import GrantStore, StoredGrant
from app.storage.table.deadline import locked

MAX_AGE_SECONDS: Final = 5.0
"""How long a process uses the grants in memory without asking whether they changed."""

_ACTIONS: Final = {action.value: action for action in Action}

_ByValue = dict[str, list[Grant]]
"""The grants by the value of a claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _GrantIndex:
    """All grants by their subject, and the revision of the table that they were read at."""

    revision: int
    by_issuer: Mapping[str, Mapping[str, _ByValue]]
    """By issuer, then by the name of the claim, then by its value."""
    by_token: Mapping[str, list[Grant]]


class StoredGrantIndex:
    """The rights that stored grants give.

    A process keeps all grants in memory. After `MAX_AGE_SECONDS` it reads their revision, which is one item. It reads
    the grants again only if the revision changed. If the table does not answer, it raises `StorageError`: grants that
    may be out of date are not used.
    """

    def __init__(
        self, store: GrantStore, roles: RoleDirectory, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._roles = roles
        self._monotonic = monotonic
        self._reading = threading.Lock()
        self._index: _GrantIndex | None = None
        self._checked = 0.0

    def forget(self) -> None:
        """Ask the table before the next use of the grants, because this process changed them."""
        self._index = None

    def of(self, issuer: str, claims: Mapping[str, Any]) -> Rights:
        """Return the rights of the caller with these claims. Raises `StorageError`.

        A claim that is an array has each of its values.
        """
        by_claim = self._current().by_issuer.get(issuer, {})
        grants: list[Grant] = []
        for claim, by_value in by_claim.items():
            for value in dict.fromkeys(claim_values(claims, claim)):
                grants += by_value.get(value, ())
        return Rights(tuple(grants))

    def of_token(self, token: str) -> Rights:
        """Return the rights of the caller whose token of our own has this id. Raises `StorageError`."""
        return Rights(tuple(self._current().by_token.get(token, ())))

    def _current(self) -> _GrantIndex:
        now = self._monotonic()
        index = self._index
        if index is not None and now < self._checked + MAX_AGE_SECONDS:
            return index
        revision = self._store.revision()
        if index is None or index.revision != revision:
            index = self._read(revision)
        self._index, self._checked = index, now
        return index

    def _read(self, revision: int) -> _GrantIndex:
        """Read all grants. One thread reads them at a time. The others then use what it read.

        Raises `DeadlinePassed` if the request may wait for the other thread no longer.
        """
        with locked(self._reading):
            if self._index is not None and self._index.revision == revision:
                return self._index
            by_issuer: dict[str, dict[str, _ByValue]] = {}
            by_token: dict[str, list[Grant]] = {}
            for stored in self._store.listed():
                by_subject, subject = by_token, stored.token
                if not stored.token:
                    by_subject = by_issuer.setdefault(stored.issuer, {}).setdefault(stored.claim, {})
                    subject = stored.value
                by_subject.setdefault(subject, []).extend(self._grants(stored))
            self._index = _GrantIndex(revision=revision, by_issuer=by_issuer, by_token=by_token)
            return self._index

    def _grants(self, stored: StoredGrant) -> Iterable[Grant]:
        """Yield the grant. A role or an action that does not exist any more grants nothing."""
        if stored.role:
            role = self._roles.find(stored.role)
            if role:
                yield role.granted(stored.partitions, stored.expires)
        else:
            actions = frozenset(_ACTIONS[name] for name in stored.actions if name in _ACTIONS)
            yield Grant(actions=actions, partitions=stored.partitions, expires=stored.expires)
