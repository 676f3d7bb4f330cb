"""Bytes to text under Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 §6.1), never failing, and text to bytes.

What cannot be decoded becomes U+FFFD; an unknown term reads as ISO 8859-1, as does a missing one, since archives hold
more Latin-1 without a declaration than ASCII with stray bytes. No text that leaves here holds a lone surrogate.

Writing is strict where reading is lenient: `encode` makes only bytes that the declaration really covers.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import Final

from pydicom.charset import CODES_TO_ENCODINGS, ENCODINGS_TO_CODES, python_encoding

LATIN: Final = "latin-1"

_TERM: Final = re.compile(r"ISO[ _-]?(2022[ _-])?IR[ _-]?(\d+)")
_PIECES: Final = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_SINGLE: Final = frozenset({"LT", "ST", "UT"})
"""VRs of one value, where a backslash is a character like any other (PS3.5 §6.2)."""
_SELF_ESCAPING: Final = frozenset({"iso2022_jp", "iso2022_jp_2"})
"""Codecs that read and write the escape sequences themselves."""


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

    def decode(self, raw: bytes, vr: str) -> str:
        """The text of `raw`, escape sequences followed and removed; `vr` tells what ends them."""
        if self.direct is not None:
            return raw.decode(self.direct, "replace")
        if b"\x1b" not in raw:
            return raw.decode(self._first, "replace")
        reset = re.compile(_delimiters(vr).encode())
        return "".join(self._piece(piece, reset) for piece in _PIECES.findall(raw))

    def _piece(self, piece: bytes, delimiter: re.Pattern[bytes]) -> str:
        """The text from one escape sequence to the next; a delimiter takes single-byte sets back to the first."""
        length = 4 if piece[:3] in (b"\x1b$(", b"\x1b$)") else 3
        codec = self._switches.get(piece[:length])
        if codec is None:
            return piece.decode(self._first, "replace")
        if codec in _SELF_ESCAPING:
            return piece.decode(codec, "replace")
        text = piece[length:]
        reset = delimiter.search(text)
        end = reset.start() if reset else len(text)
        return text[:end].decode(codec, "replace") + text[end:].decode(self._first, "replace")


def _delimiters(vr: str) -> str:
    """A pattern of the characters before which the first character set is back (PS3.5 §6.1.2.5.3)."""
    own = "" if vr in _SINGLE else r"\\^=" if vr == "PN" else r"\\"
    return rf"[{own}\r\n\f\t]"


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
    name = python_encoding.get(_defined(term), LATIN)
    normal = codecs.lookup(name).name
    return {"iso8859-1": LATIN, "utf-8": "utf-8"}.get(normal, name)


def _defined(term: str) -> str:
    spelling = _TERM.fullmatch(term.upper())
    return f"{'ISO 2022 IR' if spelling[1] else 'ISO_IR'} {spelling[2]}" if spelling else term


DEFAULT: Final = charset(b"")


# --- writing ----------------------------------------------------------------------------------------------------------

_ASCII: Final = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})
"""Terms of the default repertoire, which reading takes for Latin-1."""


def encode(text: str, declared: bytes, vr: str) -> bytes | None:
    """The bytes of `text` under the raw value of (0008,0005), code extensions included; None if it cannot hold them.

    `text` is without control characters but line breaks; `vr` tells where the first set is back.
    """
    if text.isascii():
        return text.encode()
    terms = [_defined(term.strip(" \0")) for term in declared[:512].decode(LATIN).split("\\")]
    if any(term not in python_encoding for term in terms):
        return None
    first, *others = ("ascii" if term in _ASCII else _codec(term) for term in terms)
    parts = [_part(part, first, others) for part in re.split(f"({_delimiters(vr)})", text)]
    raw = b"".join(part for part in parts if part is not None)
    # Codecs write more than their terms allow, so what counts is what a reader makes of it.
    return raw if None not in parts and charset(declared).decode(raw, vr) == text else None


def _part(part: str, first: str, others: list[str]) -> bytes | None:
    """The bytes between two delimiters, in the first set that holds all of it; None if none does."""
    for codec in (first, *others):
        try:
            raw = part.encode(codec)
        except UnicodeEncodeError:
            continue
        if codec == "shift_jis" and len(raw) > len(part):
            continue  # a kanji: the codec knows them, JIS X 0201 does not
        escape = b"" if codec == first or codec in _SELF_ESCAPING else ENCODINGS_TO_CODES.get(codec, b"")
        return bytes(escape) + raw
    return None
