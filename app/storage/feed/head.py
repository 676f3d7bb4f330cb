"""The head of the change feed: the last number, the latest time, and the records that are in the feed already.

Every write to the feed replaces the head and expects the revision that it was computed from. So all of them come one
after the other, whichever process makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from app.storage.records.packed_documents import pack, unpack
from app.storage.table import keys
from app.storage.table.codec import DamagedRecord, Record, decode, encode
from app.storage.table.ports import Absent, Holds, Item, Key, Put, Table


class FeedHead(Record, frozen=True, kw_only=True):
    """The state of the feed.

    `time` is as in `clock.timestamp`. No entry gets an earlier one any more. `hour` is that of the last entry. Numbers
    up to `old_number`, with times up to `old_time`, are in the form of layout 4 (`old_entries.py`).

    `pending` are the keys of committed records whose entries are in the feed. They are removed just after the write of
    the head, but a kill -9 can leave them. A record that is neither in the log nor pending is in the feed.
    """

    number: int = 0
    revision: int = 0
    time: str = ""
    hour: str = ""
    old_number: int = 0
    old_time: str = ""
    pending: tuple[Key, ...] = ()

    def put(self, before: FeedHead) -> Put:
        """Return the change that writes this state after `before`. It conflicts if another state was written."""
        revision = before.revision + 1
        fields = encode(msgspec.structs.replace(self, revision=revision), "pending")
        data = pack(msgspec.json.encode(self.pending)) if self.pending else b""
        expect = Holds("revision", before.revision) if before.revision else Absent()
        return Put(Item(keys.FEED_HEAD, fields, data), expect)


_pending: Final = msgspec.json.Decoder(tuple[Key, ...])


def read_head(table: Table) -> FeedHead:
    """Return the present head. One read. Raises `DamagedRecord` if it cannot be read."""
    item = table.get(keys.FEED_HEAD)
    if item is None:
        return FeedHead()
    try:
        pending: Sequence[Key] = _pending.decode(unpack(item.data)) if item.data else ()
    except msgspec.MsgspecError as error:
        raise DamagedRecord from error
    return decode(FeedHead, item.fields, pending=pending)
