"""Which studies and series may lack postings of posted values, because an earlier layout stored them.

The migration to layout 3 records the last sequence number of that time. An object with that number or a lower one may
lack postings of the attributes in `POSTED`. So a search by one of them takes all these objects as candidates, newest
first, and verifies their metadata. Objects with higher numbers have all postings.
"""

from __future__ import annotations

from contextlib import suppress

from app.errors import Conflict
from app.storage.table import keys
from app.storage.table.counters import SequenceCounter
from app.storage.table.ports import Absent, Item, Put, Table


def record_last_unposted(table: Table) -> None:
    """Record the last number that any object has now. The first process that does it wins.

    No process of an earlier layout runs, so none adds such an object later. A kill -9 after this leaves a record that
    the next start keeps.
    """
    with suppress(Conflict):
        table.write(Put(Item(keys.LAST_UNPOSTED, {"number": SequenceCounter(table).last()}), Absent()))


def last_unposted(table: Table) -> int:
    """Return the last number whose object may lack postings; 0 in an archive that began with layout 3."""
    item = table.get(keys.LAST_UNPOSTED)
    return int(item.fields["number"]) if item else 0
