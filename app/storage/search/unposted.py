"""Which objects may lack postings, because an earlier layout stored them.

The migration to layout 3 records the last sequence number of that time. An object with that number or a lower one may
lack postings of the attributes in `POSTED`. So a search by one of them takes all these objects as candidates, newest
first, and verifies their metadata. Objects with higher numbers have all postings.

The migration to layout 4 does the same for the postings of years and months (`records/periods.py`). A search by a range
of dates takes all objects up to that number as candidates, in turns with the postings of the days.
"""

from __future__ import annotations

from contextlib import suppress

from app.errors import Conflict
from app.storage.table import keys
from app.storage.table.counters import WatermarkCounter
from app.storage.table.ports import Absent, Item, Key, Put, Table


def record_last_unposted(table: Table) -> None:
    """Record the last number that any object has now. The first process that does it wins.

    No process of an earlier layout runs, so none adds such an object later. A kill -9 after this leaves a record that
    the next start keeps.
    """
    _record(table, keys.LAST_UNPOSTED)


def record_last_undated(table: Table) -> None:
    """Record the last number whose object may lack postings of years and months, as `record_last_unposted` does."""
    _record(table, keys.LAST_UNDATED)


def _record(table: Table, key: Key) -> None:
    with suppress(Conflict):
        table.write(Put(Item(key, {"number": WatermarkCounter(table).last()}), Absent()))


def last_unposted(table: Table) -> int:
    """Return the last number whose object may lack postings; 0 in an archive that began with layout 3."""
    return _number(table, keys.LAST_UNPOSTED)


def last_undated(table: Table) -> int:
    """Return the last number whose object may lack periods; 0 in an archive that began with layout 4."""
    return _number(table, keys.LAST_UNDATED)


def _number(table: Table, key: Key) -> int:
    item = table.get(key)
    return int(item.fields["number"]) if item else 0
