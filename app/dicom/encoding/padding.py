"""Tells padding from data. Long runs of bytes are read in chunks."""

from __future__ import annotations

from typing import Any, Final

_CHUNK: Final = 1 << 20


def only_zeros(data: Any, position: int, end: int) -> bool:
    """Tell whether all bytes between two offsets are zero."""
    return not any(bytes(data[start : min(start + _CHUNK, end)]).strip(b"\0") for start in range(position, end, _CHUNK))


def is_padding(data: Any, position: int, end: int) -> bool:
    """Tell whether the bytes between two offsets repeat one byte of padding, or are ends of lines or of text."""
    rest = bytes(data[position : min(end, position + _CHUNK)])
    if not any(not rest.strip(each) for each in (b"\0", b"\xff", b" ", b"\r\n", b"\x1a")):
        return False
    return all(
        bytes(data[start : min(start + _CHUNK, end)]) == rest[:1] * (min(start + _CHUNK, end) - start)
        for start in range(position + _CHUNK, end, _CHUNK)
    )
