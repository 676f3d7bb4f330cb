"""The intents of a writer: the records of the sweep that name what a kill -9 leaves of its writes.

An intent is written before what it names. A transaction after which rows name it removes the intent, or expects that
the sweep has not taken it. Then no row can name what the sweep removes.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.storage.index import sweep
from app.storage.records.leftovers import InstanceVersion, Leftovers
from app.storage.table.ports import Change, Delete, Holds, Key, Put, Require, Table


class Intents:
    """Names what the next writes of one writer may leave. One thread uses it."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._records: list[Key] = []
        self.named = Leftovers()

    def name(self, leftovers: Leftovers) -> None:
        """Name what the next write may leave, before the write. Nothing is written if there is nothing to name.

        A kill -9 after it leaves a record that comes due, and perhaps what it names. After a power loss the record may
        be missing.
        """
        if leftovers:
            record = sweep.intent(leftovers)
            self._table.write_each([Put(record)], durable=False)
            self.named |= leftovers
            self._records.append(record.key)

    def still_valid(self) -> list[Change]:
        """Return the conditions that the sweep has taken no record. For one of several transactions."""
        return [Require(record, Holds("taken", 0)) for record in self._records]

    def dropped(self) -> list[Change]:
        """Return the changes that remove the records. They belong into a transaction, and conflict if one is taken."""
        return [sweep.drop_intent(record) for record in self._records]

    def replace(self, records: list[Key], named: Leftovers) -> None:
        """Continue with other records. A transaction has removed the earlier ones and has put these."""
        self._records, self.named = records, named

    def end(self, stored: Iterable[InstanceVersion]) -> None:
        """Remove the records, after rows name the versions `stored`. The sweep removes all other versions at once.

        A kill -9 before it leaves the records. The sweep removes what no row names when they are due.
        """
        known = set(stored)
        unused = tuple(each for each in self.named.versions if each not in known)
        if unused:
            self._table.write_each([sweep.queue_removal(Leftovers(versions=unused), 0)])
        self._table.write_each([Delete(record) for record in self._records], durable=False)
        self.replace([], Leftovers())
