"""What a partition contains, in numbers."""

from __future__ import annotations

from typing import NamedTuple


class Contents(NamedTuple):
    """The contents of a partition, or the difference that a write makes to them."""

    studies: int
    instances: int
    bytes: int
