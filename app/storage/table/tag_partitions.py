"""Notes of the partitions that have index entries of an extended query tag.

So the removal of a tag visits these partitions only. A note is on disk no later than the first entry of the tag in the
partition. A kill -9 after a note leaves a partition that the removal visits in vain. Each process remembers the notes
that it knows, so most writes do not write one. A store that conflicts with the removal of the tag may leave a note.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Final
from weakref import WeakKeyDictionary

from app.storage.table import keys
from app.storage.table.ports import Change, Item, Key, Put, Table

_REMEMBERED: Final = 50_000
"""Notes of one table that a process remembers."""

_known: WeakKeyDictionary[Table, set[Key]] = WeakKeyDictionary()
_lock = Lock()


def note_tag_partitions(table: Table, changes: Iterable[Change]) -> None:
    """Note the partitions in which these changes write index entries of extended query tags."""
    wanted = {
        keys.tag_partition(*place)
        for each in changes
        if isinstance(each, Put) and (place := keys.tag_and_partition(each.key))
    }
    if not wanted:
        return
    with _lock:
        missing = wanted - _known.setdefault(table, set())
    if missing:
        table.write_each([Put(Item(key, {})) for key in missing], durable=False)
        with _lock:
            known = _known.setdefault(table, set())
            if len(known) + len(missing) > _REMEMBERED:
                known.clear()
            known |= missing
