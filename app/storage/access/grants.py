"""The stored grants (conformance §13.6).

Each process keeps all grants in memory for a short time. So the table also has a revision. Every write of grants adds 1
to it in the same write. A process that finds the revision unchanged does not read the grants again.

Each write is one write of two items. A kill -9 leaves both or none.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from app.errors import Conflict
from app.storage.access.ids import is_id
from app.storage.table import keys
from app.storage.table.codec import Record, decode, encode, stored_as
from app.storage.table.ports import Absent, Add, Change, Delete, Item, Present, Put, Table
from app.storage.table.retry import retry


class StoredGrant(Record, frozen=True, kw_only=True):
    """A role or actions, in some partitions, for a subject.

    The subject is a claim value of an issuer, or the id of a token. `role` is empty if there are `actions`. `created`
    and `expires` are in seconds since 1970; `expires` is None if the grant never expires. `created_by` names the caller
    that created it.
    """

    id: str
    partitions: tuple[str, ...]
    created: int
    created_by: str = stored_as("createdBy")
    issuer: str = ""
    claim: str = ""
    value: str = ""
    token: str = ""
    role: str = ""
    actions: tuple[str, ...] = ()
    expires: int | None = None


class GrantStore:
    """Reads and writes the grants of a table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def add(self, grant: StoredGrant) -> None:
        """Write a new grant."""
        self._write(Put(Item(keys.grant(grant.id), encode(grant)), Absent()))

    def remove(self, grant: str) -> bool:
        """Remove the grant with this id. Return whether there was one."""
        if not is_id(grant):
            return False
        try:
            self._write(Delete(keys.grant(grant), Present()))
        except Conflict:
            return False
        return True

    def revision(self) -> int:
        """Return the number of writes of grants so far. One read."""
        item = self._table.get(keys.GRANT_REVISION)
        return item.fields["value"] if item else 0

    def listed(self) -> Iterator[StoredGrant]:
        """Yield all grants, the oldest first."""
        return (decode(StoredGrant, item.fields) for item in self._table.query(keys.GRANTS))

    def page(self, offset: int, limit: int) -> list[StoredGrant]:
        """Return a page of the grants, the oldest first. Skipped ones are read too."""
        items = self._table.query(keys.GRANTS, limit=offset + limit)
        return [decode(StoredGrant, item.fields) for item in islice(items, offset, None)]

    def count(self) -> int:
        return self._table.count(keys.GRANTS)

    def _write(self, change: Change) -> None:
        """Write a change of a grant and the new revision. Raises `Conflict` if the expectation does not hold."""
        retry(
            lambda: self._table.write(change, Add(keys.GRANT_REVISION, {"value": 1})),
            when=lambda conflict: conflict.key != change.key,
        )
