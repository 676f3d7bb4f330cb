"""The limits of the reader, and the errors of a file that exceeds one or cannot be followed (conformance §1.8)."""

from __future__ import annotations

from typing import Final, NoReturn

from app.errors import InvalidInstance

MAX_DEPTH: Final = 64
"""The deepest nesting of sequences."""
MAX_ELEMENTS: Final = 500_000
"""The largest number of elements and items that are in memory at once."""
MAX_TOTAL: Final = 32_000_000
"""The largest number of elements, items and fragments in one instance. It bounds the time."""
MAX_META: Final = 16 << 20
"""The largest size of the file meta information, in bytes. Private information may be in it (PS3.10 §7.1)."""
MAX_VALUE: Final = 1 << 20
"""Bytes. The reader does not load a longer value, as if it were bulk data."""
MAX_HEADER: Final = 32 << 20
"""The largest size of the elements that are in memory at once, in bytes."""
LARGE: Final = 1 << 20
"""Bytes. The items of a longer sequence are not kept in memory, down to `LARGE_DEPTH`."""
LARGE_DEPTH: Final = 8
"""A large sequence at depth n is read n times, so deeper ones count as small."""
MAX_RETRIES: Final = 16
"""The largest number of sequences of one instance that are read again in the other form of VRs. It bounds the time."""


class LimitExceeded(InvalidInstance):
    """An instance exceeds a limit. No other reading of its bytes helps."""


def limit_exceeded(position: int, reason: str) -> LimitExceeded:
    """Return the error for a limit that is exceeded at an offset of the file."""
    return LimitExceeded(f"The DICOM instance is invalid: {reason} (byte {position}).")


def refuse(position: int, reason: str) -> NoReturn:
    """Raise the error for bytes at an offset of the file that cannot be followed."""
    raise InvalidInstance(f"The DICOM instance is invalid: {reason} (byte {position}).")
