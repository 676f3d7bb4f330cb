"""Decodes and encodes text under Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 §6.1).

Decoding never fails. Bytes that cannot be decoded become U+FFFD. An unknown or missing term means ISO 8859-1, because
undeclared Latin-1 is common in archives. Decoded text never contains half of a surrogate pair.

Encoding is strict: `encode` writes only characters that the declared sets contain.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import Final

from pydicom.charset import CODES_TO_ENCODINGS, ENCODINGS_TO_CODES, python_encoding

SPECIFIC_CHARACTER_SET: Final = 0x00080005
LATIN: Final = "latin-1"

_LATIN_9: Final = "iso8859_15"
_CODECS: Final = {**python_encoding, "ISO_IR 203": _LATIN_9, "ISO 2022 IR 203": _LATIN_9}
"""Defined term -> codec. pydicom does not know Latin-9."""
_CODECS_BY_ESCAPE: Final = {**CODES_TO_ENCODINGS, b"\x1b-A": LATIN, b"\x1b-b": _LATIN_9}
_ESCAPES: Final = {**ENCODINGS_TO_CODES, _LATIN_9: b"\x1b-b"}

_TERM: Final = re.compile(r"ISO[ _-]?(2022[ _-])?IR[ _-]?(\d+)")
_UNPUNCTUATED: Final = {
    "UTF8": "ISO_IR 192",
    "GB18030": "GB18030",
    "GBK": "GBK",
    "GB2312": "GBK",
    **{
        f"ISO8859{part}": f"ISO_IR {number}"
        for part, number in enumerate((100, 101, 109, 110, 144, 127, 126, 138, 148), start=1)
    },
    "ISO885911": "ISO_IR 166",
    "ISO885915": "ISO_IR 203",
}
"""Names of other standards that occur in place of defined terms, without punctuation."""
_WHOLE: Final = frozenset({"ISO_IR 192", "GB18030", "GBK"})
"""Defined terms that permit no code extensions. Such a term stands alone (PS3.3 C.12.1.1.2)."""
_PIECES: Final = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_SINGLE: Final = frozenset({"LT", "ST", "UT"})
"""VRs that have one value. A backslash in it is an ordinary character (PS3.5 §6.2)."""
_SELF_ESCAPING: Final = frozenset({"iso2022_jp", "iso2022_jp_2"})
"""Codecs that read and write the escape sequences themselves."""


class Charset:
    """Decodes text under one value of Specific Character Set. `charset` returns the same object for the same value."""

    __slots__ = ("_first", "_switches", "direct")

    def __init__(self, encodings: tuple[str, ...], extended: bool) -> None:
        self._first = encodings[0]
        self._switches = {
            escape: codec
            for escape, codec in _CODECS_BY_ESCAPE.items()
            if codec in encodings or escape in (b"\x1b(B", b"\x1b(J")
        }
        fast = self._first in (LATIN, "utf-8") and len(encodings) == 1 and not extended
        self.direct: str | None = self._first if fast else None

    def decode(self, raw: bytes, vr: str) -> str:
        """Return the text of `raw` without escape sequences. `vr` decides which characters end their effect."""
        if self.direct is not None:
            return raw.decode(self.direct, "replace")
        if b"\x1b" not in raw:
            return raw.decode(self._first, "replace")
        reset = re.compile(_delimiters(vr).encode())
        return "".join(self._piece(piece, reset) for piece in _PIECES.findall(raw))

    def _piece(self, piece: bytes, delimiter: re.Pattern[bytes]) -> str:
        """Return the text from one escape sequence to the next. After a delimiter the first set is active again."""
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
    """Return a pattern of the characters that make the first character set active again (PS3.5 §6.1.2.5.3)."""
    own = "" if vr in _SINGLE else r"\\^=" if vr == "PN" else r"\\"
    return rf"[{own}\r\n\f\t]"


@lru_cache(maxsize=256)
def charset(declared: bytes) -> Charset:
    """Return the character set that the raw value of (0008,0005) declares."""
    terms = _terms(declared)
    return _charset(tuple(map(_codec, terms)), any("2022" in term for term in terms))


@lru_cache(maxsize=256)
def _charset(encodings: tuple[str, ...], extended: bool) -> Charset:
    return Charset(tuple(dict.fromkeys(encodings)), extended)


def _terms(declared: bytes) -> list[str]:
    """Return the defined terms of a raw value. Misspelt terms are corrected, unknown ones are as in the value.

    Some writers put an empty value before a term that stands alone. The empty value is left out.
    """
    terms = [_defined(term.strip(" \0")) for term in declared[:512].decode(LATIN).split("\\")]
    return terms[1:2] if terms[0] in _ASCII and len(terms) == 2 and terms[1] in _WHOLE else terms


def _codec(term: str) -> str:
    """Return Python's codec for a defined term, that of Latin-1 for an unknown one."""
    name = _CODECS.get(term, LATIN)
    normal = codecs.lookup(name).name
    return {"iso8859-1": LATIN, "utf-8": "utf-8"}.get(normal, name)


def _defined(term: str) -> str:
    spelling = _TERM.fullmatch(term.upper())
    if spelling is None:
        return _UNPUNCTUATED.get(re.sub("[ _-]", "", term.upper()), term)
    return f"{'ISO 2022 IR' if spelling[1] and spelling[2] != '192' else 'ISO_IR'} {spelling[2]}"


_ASCII: Final = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})
"""Terms of the default repertoire. Decoding takes it for Latin-1, encoding for ASCII."""
DEFAULT: Final = charset(b"")


# --- writing ----------------------------------------------------------------------------------------------------------


def encode(text: str, declared: bytes, vr: str) -> bytes | None:
    """Return the bytes of `text` under the raw value of (0008,0005), None if the declared sets lack a character.

    `text` has no control characters except line breaks. `vr` decides which characters make the first set active again.
    """
    if text.isascii():
        return text.encode()
    terms = _terms(declared)
    if any(term not in _CODECS for term in terms):
        return None
    first, *others = ("ascii" if term in _ASCII else _codec(term) for term in terms)
    parts = [_part(part, first, others) for part in re.split(f"({_delimiters(vr)})", text)]
    raw = b"".join(part for part in parts if part is not None)
    # Python's codecs write characters that their terms do not permit. Decoding the bytes again detects them.
    return raw if None not in parts and charset(declared).decode(raw, vr) == text else None


def _part(part: str, first: str, others: list[str]) -> bytes | None:
    """Return the bytes of a text between two delimiters in the first set that contains it, None if no set does."""
    for codec in (first, *others):
        try:
            raw = part.encode(codec)
        except UnicodeEncodeError:
            continue
        if codec == "shift_jis" and len(raw) > len(part):
            continue  # a kanji: the codec contains it, JIS X 0201 does not
        escape = b"" if codec == first or codec in _SELF_ESCAPING else _ESCAPES.get(codec, b"")
        return bytes(escape) + raw
    return None
