"""Writes a dataset as XML, in the Native DICOM Model (PS3.19 §A.1, conformance §4.16).

The source is DICOM JSON. It is read token by token, so a dataset of any size needs little memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import orjson

from app.dicom.encoding.vr import keyword
from app.dicom.xml.json_tokens import tokens, value

_OPENING: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">'
)
_CLOSING: Final = b"</NativeDicomModel>"
_CHUNK: Final = 128 * 1024

_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")

_UNCHANGED: Final = re.compile(rb'[^&<>"\\\xef]*+')
"""Text of a JSON string that is the same in XML. The byte EF may begin U+FFFE or U+FFFF."""
_ESCAPES: Final[dict[int, str]] = {
    **dict.fromkeys((*range(0x20), 0xFFFE, 0xFFFF), "\ufffd"),  # XML 1.0 cannot have them, even escaped
    **{ord(each): f"&#{ord(each)};" for each in "\t\n\r"},  # a reader would change them
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord('"'): "&quot;",
}


def native_model(document: bytes | Iterable[bytes]) -> Iterator[bytes]:
    """Yield the XML of a DICOM JSON object, which comes whole or in chunks. The last chunk is short, others are not."""
    pending, size = [_OPENING], 0
    given = tokens((document,) if isinstance(document, bytes) else document)
    next(given)
    for piece in _dataset(given):
        pending.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield b"".join(pending)
            pending.clear()
            size = 0
    pending.append(_CLOSING)
    yield b"".join(pending)


def _dataset(given: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the attributes of an object whose opening brace is read.

    A private creator becomes a property of its attributes, whose tags have the form gggg00ee (PS3.19 Table A.1.5-2).
    """
    creators: dict[str, bytes] = {}
    while (token := next(given)) != b"}":
        if token == b",":
            token = next(given)
        tag = token[1:-1].decode()
        next(given)
        is_private = int(tag[3], 16) % 2 == 1
        if is_private and tag[4:6] == "00" and tag[6] != "0":
            creators[tag[:4] + tag[6:]] = _first_value(given)
        else:
            creator = creators.get(tag[:6]) if is_private else None
            yield from _attribute(given, tag, creator)


def _first_value(given: Iterator[bytes]) -> bytes:
    """Return the value of a private creator as it is in XML."""
    values = value(given, next(given)).get("Value") or [""]
    return _escaped(values[0] or "")


def _attribute(given: Iterator[bytes], tag: str, creator: bytes | None) -> Iterator[bytes]:
    """Yield one attribute. DICOM JSON has its VR first."""
    vr = [next(given) for _ in range(4)][-1]
    named = keyword(int(tag, 16))
    shown = tag if creator is None else f"{tag[:4]}00{tag[6:]}"
    head = f'<DicomAttribute tag="{shown}" vr='.encode() + vr
    if named != tag:
        head += f' keyword="{named}"'.encode()
    if creator is not None:
        head += b' privateCreator="%b"' % creator
    yield head + b">"
    while next(given) == b",":
        name = next(given)
        next(given)
        if name == b'"Value"':
            yield from _values(given, vr)
        elif name == b'"BulkDataURI"':
            yield b'<BulkData uri="%b"/>' % _text(next(given))
        elif (data := next(given)) != b'""':
            yield b"<InlineBinary>%b</InlineBinary>" % data[1:-1]
    yield b"</DicomAttribute>"


def _values(given: Iterator[bytes], vr: bytes) -> Iterator[bytes]:
    """Yield the values of an array. An empty one among others has its number and no text."""
    next(given)
    number = 1
    while (token := next(given)) != b"]":
        if token == b",":
            number += 1
        elif vr == b'"SQ"':
            yield b'<Item number="%d">' % number
            if token == b"{":
                yield from _dataset(given)
            yield b"</Item>"
        elif vr == b'"PN"':
            yield b'<PersonName number="%d">%b</PersonName>' % (number, _name(value(given, token)))
        else:
            yield b'<Value number="%d">%b</Value>' % (number, _text(token))


def _name(groups: dict[str, str] | None) -> bytes:
    """Return the component groups of a person name. Components beyond the fifth are a part of the suffix."""
    written = []
    for group in _GROUPS:
        text = (groups or {}).get(group)
        if text is not None:
            components = zip(_COMPONENTS, text.split("^", len(_COMPONENTS) - 1), strict=False)
            inner = b"".join(b"<%b>%b</%b>" % (n.encode(), _escaped(c), n.encode()) for n, c in components if c)
            written.append(b"<%b>%b</%b>" % (group.encode(), inner, group.encode()))
    return b"".join(written)


def _text(token: bytes) -> bytes:
    """Return a JSON string, number or null as text of XML. Null is empty."""
    if token[:1] != b'"':
        return b"" if token == b"null" else token
    if _UNCHANGED.fullmatch(token, 1, len(token) - 1):
        return token[1:-1]
    return _escaped(orjson.loads(token))


def _escaped(text: str) -> bytes:
    """Return text of XML. U+FFFD stands for a character that XML does not have."""
    return text.translate(_ESCAPES).encode()
