"""Bytes to text under Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 §6.1), never failing.

What cannot be decoded becomes U+FFFD; an unknown term reads as ISO 8859-1, as does a missing one, since archives hold
more Latin-1 without a declaration than ASCII with stray bytes. No text that leaves here holds a lone surrogate.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import Final

from pydicom.charset import CODES_TO_ENCODINGS, handled_encodings, python_encoding

LATIN: Final = "latin-1"

_TERM: Final = re.compile(r"ISO[ _-]?(2022[ _-])?IR[ _-]?(\d+)")
_PIECES: Final = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_RESET: Final = re.compile(rb"[\\\r\n\f\t]")
_RESET_NAME: Final = re.compile(rb"[\\\r\n\f\t^=]")


class Charset:
    """One value of Specific Character Set, ready to decode; the same object for the same value."""

    __slots__ = ("_first", "_switches", "direct")

    def __init__(self, encodings: tuple[str, ...]) -> None:
        self._first = encodings[0]
        self._switches = {
            escape: codec
            for escape, codec in CODES_TO_ENCODINGS.items()
            if codec in encodings or escape in (b"\x1b(B", b"\x1b(J")
        }
        self.direct: str | None = self._first if self._first in (LATIN, "utf-8") and len(encodings) == 1 else None

    def decode(self, raw: bytes, *, name: bool = False) -> str:
        """The text of `raw`, escape sequences followed and removed; in a person name `^` and `=` delimit as well."""
        if self.direct is not None:
            return raw.decode(self.direct, "replace")
        if b"\x1b" not in raw:
            return raw.decode(self._first, "replace")
        reset = _RESET_NAME if name else _RESET
        return "".join(self._piece(piece, reset) for piece in _PIECES.findall(raw))

    def _piece(self, piece: bytes, delimiter: re.Pattern[bytes]) -> str:
        """The text from one escape sequence to the next; a delimiter takes single-byte sets back to the first."""
        length = 4 if piece[:3] in (b"\x1b$(", b"\x1b$)") else 3
        codec = self._switches.get(piece[:length])
        if codec is None:
            return piece.decode(self._first, "replace")
        if codec in handled_encodings:
            return piece.decode(codec, "replace")
        text = piece[length:]
        reset = delimiter.search(text)
        end = reset.start() if reset else len(text)
        return text[:end].decode(codec, "replace") + text[end:].decode(self._first, "replace")


@lru_cache(maxsize=256)
def charset(declared: bytes) -> Charset:
    """The character set that the raw value of (0008,0005) declares."""
    terms = declared[:512].decode(LATIN).split("\\")
    return _charset(tuple(_codec(term.strip(" \0")) for term in terms))


@lru_cache(maxsize=256)
def _charset(encodings: tuple[str, ...]) -> Charset:
    return Charset(tuple(dict.fromkeys(encodings)))


def _codec(term: str) -> str:
    """Python's codec for a defined term, spelt as the standard does or nearly so."""
    spelling = _TERM.fullmatch(term.upper())
    if spelling:
        term = f"{'ISO 2022 IR' if spelling[1] else 'ISO_IR'} {spelling[2]}"
    name = python_encoding.get(term, LATIN)
    normal = codecs.lookup(name).name
    return {"iso8859-1": LATIN, "utf-8": "utf-8"}.get(normal, name)


DEFAULT: Final = charset(b"")
