"""The stored tokens (conformance §13.6).

A token has two items. Its *record* has everything that a verification needs. The key of the record is the first half of
the token's digest, so a verification is one read of one item. Its *entry* is in the list of all tokens, under the id of
the token. It names the record, and the time of the last use.

Both items are written and removed in one write, so a kill -9 leaves both or none. A token whose write took effect, but
whose answer was lost, is in the list. Nobody knows its secret, and an administrator can revoke it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from app.errors import Conflict
from app.storage.access.ids import is_id
from app.storage.table import keys
from app.storage.table.codec import Record, decode, encode, stored_as
from app.storage.table.ports import MAX_CHANGES, Absent, Delete, Holds, Item, Put, Table
from app.storage.table.retry import retry

_LOOKUP_DIGITS: Final = 32
"""Hex digits of the digest that are in the key. Whoever verifies a token compares the whole digest."""


class Token(Record, frozen=True, kw_only=True):
    """What is stored of a token: not its secret, but the SHA-256 digest of it, in hex digits.

    `created` and `expires` are in seconds since 1970; `expires` is None if the token never expires. `created_by` names
    the caller that created it.
    """

    id: str
    digest: str
    name: str
    roles: tuple[str, ...]
    partitions: tuple[str, ...]
    created: int
    created_by: str = stored_as("createdBy")
    expires: int | None = None

    @property
    def lookup(self) -> str:
        return self.digest[:_LOOKUP_DIGITS]


class TokenEntry(Record, frozen=True, kw_only=True):
    """The entry in the list. `lookup` is the key of the record, `last_used` is in seconds since 1970."""

    lookup: str
    last_used: int | None = stored_as("lastUsed", default=None)


class ListedToken(NamedTuple):
    """A token, and the time of its last use in seconds since 1970; None: it was not used yet."""

    token: Token
    last_used: int | None


class TokenStore:
    """Reads and writes the tokens of a table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def add(self, token: Token) -> None:
        """Write a new token, both items in one write."""
        record = Item(keys.token(token.lookup), encode(token))
        entry = Item(keys.token_entry(token.id), encode(TokenEntry(lookup=token.lookup)))
        retry(lambda: self._table.write(Put(record, Absent()), Put(entry, Absent())), when=_may_succeed_later)

    def find(self, digest: str) -> Token | None:
        """Return the token that has the first half of this digest, or None. One read.

        The caller compares the whole digest in constant time.
        """
        item = self._table.get(keys.token(digest[:_LOOKUP_DIGITS]))
        return decode(Token, item.fields) if item else None

    def listed(self) -> Iterator[ListedToken]:
        """Yield all tokens, the oldest first. A hundred of them are in memory at a time."""
        entries = self._table.query(keys.TOKEN_ENTRIES)
        while batch := [decode(TokenEntry, item.fields) for item in islice(entries, MAX_CHANGES)]:
            yield from self._tokens(batch)

    def page(self, offset: int, limit: int) -> list[ListedToken]:
        """Return a page of the tokens, the oldest first. The entries of skipped tokens are read too."""
        items = self._table.query(keys.TOKEN_ENTRIES, limit=offset + limit)
        return list(self._tokens([decode(TokenEntry, item.fields) for item in islice(items, offset, None)]))

    def _tokens(self, entries: list[TokenEntry]) -> Iterator[ListedToken]:
        """Yield the tokens of these entries, without those that were revoked after the entries were read."""
        records = self._table.get_many([keys.token(entry.lookup) for entry in entries])
        for entry, item in zip(entries, records, strict=True):
            if item:
                yield ListedToken(decode(Token, item.fields), entry.last_used)

    def has(self, token: str) -> bool:
        """Return whether there is a token with this id. One read."""
        return is_id(token) and self._table.get(keys.token_entry(token)) is not None

    def count(self) -> int:
        return self._table.count(keys.TOKEN_ENTRIES)

    def remove(self, token: str) -> bool:
        """Remove the token with this id, both items in one write. Return whether there was one."""

        def attempt() -> bool:
            item = self._table.get(keys.token_entry(token))
            if item is None:
                return False
            lookup = decode(TokenEntry, item.fields).lookup
            self._table.write(Delete(item.key, Holds("lookup", lookup)), Delete(keys.token(lookup)))
            return True

        return is_id(token) and retry(attempt)

    def record_use(self, token: Token, now: int) -> None:
        """Write the time of the last use. A token that was revoked stays revoked.

        A kill -9 before the write leaves the time before it.
        """
        entry = Item(keys.token_entry(token.id), encode(TokenEntry(lookup=token.lookup, last_used=now)))
        try:
            self._table.write(Put(entry, Holds("lookup", token.lookup)))
        except Conflict:  # the token was revoked, or another process writes the time of its last use
            return


def _may_succeed_later(conflict: Conflict) -> bool:
    return conflict.key is None
