"""Byte ranges of an answer (RFC 9110 §14, conformance §4.4)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from flask import Request

from app.errors import RangeNotSatisfiable

_RANGE: Final = re.compile(r"bytes\s*=\s*(?:(\d{1,99})\s*-\s*(\d{0,99})|-\s*(\d{1,99}))\s*", re.ASCII | re.IGNORECASE)
"""One range. A list of ranges does not match."""


class ByteRange(NamedTuple):
    """`length` bytes from `start` of content that has `size` bytes."""

    start: int
    length: int
    size: int

    @property
    def content_range(self) -> str:
        """The value of the header Content-Range."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{self.size}"


def requested_range(request: Request, size: int, etag: str | None = None) -> ByteRange | None:
    """Return the byte range that a request asks for, of content with `size` bytes. None means the whole content.

    That is the case without a range, with several ranges, with a range that breaks the grammar, with a method other
    than GET, and if the header If-Range does not name the entity tag of the content. `etag` comes without quotes.
    Raises `RangeNotSatisfiable` for a range that contains no byte of the content.
    """
    found = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if request.method != "GET" or found is None:
        return None
    # An entity tag without quotes or with W/ is no strong entity tag, and a date never matches (RFC 9110 §13.1.5).
    condition = request.headers.get("If-Range")
    if condition is not None and (etag is None or condition.strip() != f'"{etag}"'):
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise RangeNotSatisfiable(size)
    return ByteRange(start, end - start, size)
