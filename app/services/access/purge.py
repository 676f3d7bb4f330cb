"""The removal of tokens and stored grants that expired long ago (conformance §13.6)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

from app.storage.access.grants import GrantStore
from app.storage.access.tokens import TokenStore
from app.storage.table import clock

KEPT_SECONDS: Final = 30 * 86_400
"""How long an expired token or grant stays in the lists, so that an administrator sees why it stopped counting."""

_INTERVAL_SECONDS: Final = 86_400.0
_BATCH: Final = 100
_LONG_AGO: Final = 0


class _Record(NamedTuple):
    """A token or a grant: its time of expiry in seconds since 1970, and how it is removed."""

    expires: int | None
    remove: Callable[[], bool]


class ExpiredAccess:
    """Walks through all tokens and grants once a day, and removes those that expired 30 days ago.
    A grant of a token that was revoked is removed too.

    Any number of workers may do so at the same time. A walk that fails begins again a day later.
    """

    def __init__(
        self,
        tokens: TokenStore,
        grants: GrantStore,
        *,
        now: Callable[[], float] = lambda: clock.now(),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._grants = grants
        self._now = now
        self._monotonic = monotonic
        self._next_walk = monotonic()
        self._walk: Iterator[_Record] = iter(())

    def run_once(self) -> bool:
        """Look at the next hundred records. Return whether there were any."""
        records = list(islice(self._walk, _BATCH))
        if not records and self._monotonic() >= self._next_walk:
            self._next_walk = self._monotonic() + _INTERVAL_SECONDS
            self._walk = self._records()
            records = list(islice(self._walk, _BATCH))
        for record in records:
            if record.expires is not None and record.expires + KEPT_SECONDS < self._now():
                record.remove()
        return bool(records)

    def _records(self) -> Iterator[_Record]:
        for token, _ in self._tokens.listed():
            yield _Record(token.expires, partial(self._tokens.remove, token.id))
        for grant in self._grants.listed():
            is_of_no_token = bool(grant.token) and not self._tokens.has(grant.token)
            yield _Record(_LONG_AGO if is_of_no_token else grant.expires, partial(self._grants.remove, grant.id))
