"""The instance that shows a whole slide best: neither its label, which names the patient, nor a single tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.errors import ImageFailure, NotAcceptable, StorageError
from app.services.retrieve.image_headers import ImageHeaders
from app.storage.records.rows import InstanceRow

WHOLE_SLIDE: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""VL Whole Slide Microscopy Image Storage."""

_IMAGE_TYPE: Final = 0x00080008
_TOTAL_COLUMNS: Final = 0x00480006
_MOST: Final = 16
"""Instances whose headers are read. A slide has a label, an overview, a thumbnail and some levels."""
_RANKS: Final = {"THUMBNAIL": 0, "VOLUME": 1, "OVERVIEW": 2, "LABEL": 3}
"""The third value of Image Type (PS3.3 C.8.12.4.1.1), the best first. An overview may include the label."""


class SlideImages:
    """Chooses among the instances of a slide by their attributes."""

    def __init__(self, headers: ImageHeaders) -> None:
        self._headers = headers

    def best(self, rows: Sequence[InstanceRow]) -> InstanceRow | None:
        """Return the thumbnail of the slide, or else its coarsest level. None if it has nothing but labels."""
        ranked = sorted((self._rank(row), number, row) for number, row in enumerate(rows[:_MOST]))
        (rank, _), _, row = ranked[0]
        return row if rank < _RANKS["OVERVIEW"] else None

    def _rank(self, row: InstanceRow) -> tuple[int, int]:
        try:
            attributes = self._headers.read(row).attributes
        except (ImageFailure, NotAcceptable, StorageError):
            return len(_RANKS), 0  # another instance may be readable
        kinds = attributes.texts(_IMAGE_TYPE)
        rank = _RANKS.get(kinds[2], _RANKS["VOLUME"]) if len(kinds) > 2 else _RANKS["VOLUME"]
        return rank, attributes.integer(_TOTAL_COLUMNS, 0)
