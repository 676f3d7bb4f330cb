"""The list of frame numbers in a path (conformance §4.6)."""

from __future__ import annotations

import re
from typing import Final

from app.errors import InvalidRequest

FRAMES_RULE: Final = (
    "The specified frames value is not valid. At least one frame must be present, "
    "and all requested frames must have value greater than 0."
)
SINGLE_PART_RULE: Final = (
    "The accept header is supported for single frame retrieval, use multi-part accept header instead."
)


def frame_numbers(text: str) -> list[int]:
    """Return the numbers of a list as `1,3`. Raises `InvalidRequest` for text that is no list of numbers from 1."""
    numbers = [number.strip() for number in text.split(",")]
    if not all(re.fullmatch(r"0*[1-9][0-9]{0,17}", number, re.ASCII) for number in numbers):
        raise InvalidRequest(FRAMES_RULE)
    return [int(number) for number in numbers]
