"""The key that seals the session cookies of all processes (conformance §15.2).

The first process that needs it writes it, on the condition that there is none. A kill -9 leaves the key or nothing.
"""

from __future__ import annotations

import secrets
from typing import Final

from app.errors import Conflict
from app.storage.table import keys
from app.storage.table.ports import Absent, Item, Put, Table
from app.storage.table.retry import retry

KEY_BYTES: Final = 32


class SessionKeyStore:
    """Reads the key of a table, and makes it if there is none."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self) -> bytes:
        """Return the key. One read; with the first call of an archive also one write. Raises `StorageError`."""
        return self._stored() or self._created()

    def _stored(self) -> bytes:
        item = self._table.get(keys.SESSION_KEY)
        return item.data if item else b""

    def _created(self) -> bytes:
        key = secrets.token_bytes(KEY_BYTES)
        try:
            retry(
                lambda: self._table.write(Put(Item(keys.SESSION_KEY, {}, key), Absent())),
                when=lambda conflict: conflict.key is None,
            )
        except Conflict:  # another process was faster
            return self._stored()
        return key
