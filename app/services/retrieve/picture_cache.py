"""Rendered pictures that were used last: in the memory of the process, and in a folder that processes share."""

from __future__ import annotations

from app.metrics import CACHE_LOOKUPS
from app.services.bounded_cache import BoundedCache
from app.services.retrieve.picture_folder import PictureFolder


class PictureCache:
    """Keeps pictures by the entity tag, which names everything that a picture depends on.

    A picture never changes, so no entry is ever wrong. A caller reads the row of the instance first: a picture of a
    deleted instance is not found, because nobody asks for its tag.
    """

    def __init__(self, memory_bytes: int, folder: PictureFolder | None = None) -> None:
        self._memory: BoundedCache[bytes] = BoundedCache(memory_bytes, "pictures")
        self._folder = folder

    def get(self, tag: str) -> bytes | None:
        """Return a picture, None if it is not kept."""
        found = self._memory.get(tag)
        if found is None and self._folder is not None:
            found = self._folder.get(tag)
            CACHE_LOOKUPS.add("picture_folder", "miss" if found is None else "hit")
            if found is not None:
                self._memory.put(tag, found, len(found))
        return found

    def put(self, tag: str, data: bytes) -> None:
        """Keep a picture."""
        self._memory.put(tag, data, len(data))
        if self._folder is not None:
            self._folder.put(tag, data)
