"""A commit that is under way: the records that name what a kill -9 leaves of it.

The first record is written before the first blob. It names the versions that are going to be stored. Before the
documents and postings of a write, a further record names what the earlier ones do not name. The transaction removes all
of them, and conflicts if the sweep has taken one. Then the commit is too late, and the sweep removes its leftovers.

A transaction may leave something behind: versions that are not stored yet or are refused, and postings of an earlier
attempt that conflicted. So the same transaction writes a new record that names these.
"""

from __future__ import annotations

from msgspec.structs import replace

from app.storage.index import sweep
from app.storage.records.leftovers import InstanceVersion, Leftovers
from app.storage.table.ports import Change, Delete, Holds, Key, Put, Require, Table


class OpenCommit:
    """Names the leftovers of one commit. One thread uses it."""

    def __init__(self, table: Table, leftovers: Leftovers) -> None:
        """Write the first record. A kill -9 after it leaves a record that comes due, and perhaps what it names.

        After a power loss the record may be missing, and blobs of the commit may be there.
        """
        self._table = table
        self._named = Leftovers()
        self._records: list[Key] = []
        self._remaining = Leftovers()
        self._next_record: Key | None = None
        self.name(leftovers)

    @property
    def versions(self) -> tuple[InstanceVersion, ...]:
        """The versions that the records name."""
        return self._named.versions

    def name(self, leftovers: Leftovers) -> None:
        """Name what the next write may leave, before the write. Nothing is written if the records name it all."""
        further = leftovers - self._named
        if not further:
            return
        record = sweep.intent(further)
        self._table.write_each([Put(record)], durable=False)
        self._named |= further
        self._records.append(record.key)

    def ending(self, stored: Leftovers, *, is_last: bool = True) -> list[Change]:
        """Return the changes that belong into the transaction after which rows name `stored`. Call `end` after it.

        After the last transaction, the sweep removes at once what earlier attempts have left.
        """
        changes = [sweep.drop_intent(record) for record in self._records]
        self._remaining, self._next_record = _without(self._named, stored), None
        if is_last:
            known = {each.version for each in stored.versions}
            unused = Leftovers(versions=tuple(each for each in self._remaining.versions if each.version not in known))
            if others := self._remaining - unused:
                changes.append(sweep.queue_removal(others, 0))
            self._remaining = unused
        if self._remaining:
            record = sweep.intent(self._remaining)
            changes.append(Put(record))
            self._next_record = record.key
        return changes

    def end(self) -> None:
        """Continue with what the transaction has left. The commit may go on with another write."""
        self._named = self._remaining
        self._records = [self._next_record] if self._next_record else []

    def still_open(self) -> list[Change]:
        """Return the conditions that the sweep has not taken a record. For one of several transactions."""
        return [Require(record, Holds("taken", 0)) for record in self._records]

    def drop(self) -> None:
        """Remove the records. The caller has removed what they name, or rows name it."""
        self._table.write_each(map(Delete, self._records), durable=False)
        self._named, self._records = Leftovers(), []


def _without(named: Leftovers, stored: Leftovers) -> Leftovers:
    """Return the leftovers that no row names when rows name `stored`."""
    known = {each.version for each in stored.versions}
    left = named - stored
    return replace(left, versions=tuple(v for v in left.versions if v.watermark or v.version not in known))
