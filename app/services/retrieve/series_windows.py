"""The window of a series whose images have none: all of them are shown with the same one (conformance §4.10)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from app.errors import ImageFailure, StorageError
from app.imaging.rendering.parameters import Window
from app.services.bounded_cache import BoundedCache
from app.storage.index.instances import Instances
from app.storage.records.rows import InstanceRow

_FRESH_SECONDS: Final = 60
"""How long a window is kept. A series may have grown since."""
_ENTRY_BYTES: Final = 512
_KEPT_BYTES: Final = 1 << 20


class SeriesWindows:
    """Computes the window of a series from the instance in its middle, and keeps it for a minute.

    Processes that see the same instances compute the same window, so they need not share it.
    """

    def __init__(self, instances: Instances, clock: Callable[[], float] = time.monotonic) -> None:
        self._instances = instances
        self._clock = clock
        self._kept: BoundedCache[tuple[float, Window | None]] = BoundedCache(_KEPT_BYTES, "series_windows")

    def window(self, row: InstanceRow, window_of: Callable[[InstanceRow], Window | None]) -> Window | None:
        """Return the window of the series of an instance. `window_of` computes that of one instance.

        If the middle instance has its own window or cannot be decoded, the result is None. Then each image gets a
        window of its own.
        """
        key = (row.partition, row.study, row.series, row.of_series)
        found = self._kept.get(key)
        if found is not None and self._clock() < found[0]:
            return found[1]
        window = self._middle_window(row, window_of)
        self._kept.put(key, (self._clock() + _FRESH_SECONDS, window), _ENTRY_BYTES)
        return window

    def _middle_window(self, row: InstanceRow, window_of: Callable[[InstanceRow], Window | None]) -> Window | None:
        members = self._instances.view(row.partition, row.study, row.series).in_order
        if not members:
            return None  # deleted meanwhile
        try:
            return window_of(members[len(members) // 2])
        except (ImageFailure, StorageError):
            return None  # that instance has an answer of its own that says so
