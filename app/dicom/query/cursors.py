"""Cursors: where the next page of a search begins (conformance §5.6).

Results are ordered by number, the newest first. A cursor says after which number the next page begins. So objects that
are stored or deleted meanwhile do not move the pages, and a page far down costs what the first one costs.

A cursor also has a checksum of its search: the route, the filters and the partition. So a cursor of another search is
refused, and not answered with a wrong page. It is no secret and protects nothing.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from app.dicom.query.matching import Query
from app.errors import InvalidParameter

_NAME: Final = "Cursor"
_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{20}", re.ASCII)
_CHECKSUM_BYTES: Final = 7
_NUMBER_BYTES: Final = 8


def checksum(parts: Iterable[str | None]) -> bytes:
    """Return the checksum of a search, which these texts describe in this order."""
    described = "".join(f"{'' if part is None else len(part.encode())}:{part or ''}" for part in parts)
    return sha256(described.encode()).digest()[:_CHECKSUM_BYTES]


def cursor(query: Query, last: int) -> str:
    """Return the cursor of the page after the object with the number `last`: 20 characters of URL-safe base64."""
    return urlsafe_b64encode(last.to_bytes(_NUMBER_BYTES) + query.checksum).decode()


def number_of(text: str, expected: bytes) -> int:
    """Return the number after which the page of a cursor begins. `expected` is the checksum of the search.

    Raises `InvalidParameter` for another text and for the cursor of another search.
    """
    if not _CURSOR.fullmatch(text):
        raise InvalidParameter(_NAME, f"The value '{text[:64]}' is not valid for {_NAME}.")
    found = urlsafe_b64decode(text)
    if found[_NUMBER_BYTES:] != expected:
        raise InvalidParameter(
            _NAME,
            f"The cursor '{text}' belongs to another search. Use it with the same partition, path and filters.",
        )
    return int.from_bytes(found[:_NUMBER_BYTES])
