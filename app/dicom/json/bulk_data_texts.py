"""The JSON text of a dataset in answers: with the URLs of bulk data, or without bulk data (conformance §4.14)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, overload

from app.dicom.json.bulk_data import Text, whole_lines

_URI: Final = b'"BulkDataURI":"'
_INLINE: Final = b'"InlineBinary":"'
_EMPTY: Final = b',"InlineBinary":""}'
_QUOTE: Final = ord('"')
_START: Final = len(b'"7FE00010":{"vr":"OW",')
"""Bytes of an element before its `BulkDataURI` or `InlineBinary`."""


@overload
def with_bulk_data_uris(text: bytes, instance_url: str) -> bytes: ...
@overload
def with_bulk_data_uris(text: Iterator[bytes], instance_url: str) -> Iterator[bytes]: ...
def with_bulk_data_uris(text: Text, instance_url: str) -> Text:
    """Return the text of an instance with absolute URLs of its bulk data, below the URL of the instance."""
    root = f"{instance_url}/bulkdata/".encode()
    if isinstance(text, bytes):
        return _with_uris(text, root)
    return (_with_uris(each, root) for each in whole_lines(text))


def uri_positions(text: bytes) -> list[int]:
    """Return where the text of `with_bulk_data_uris` differs; empty for a text in lines. `with_uris_at` takes them."""
    if b"\n" in text:
        return []
    empty = [position - len(b'"}') for position in _ends(text, _EMPTY)]
    return sorted(empty + _ends(text, _URI)) if empty else _ends(text, _URI)


def _ends(text: bytes, part: bytes) -> list[int]:
    """Return where each occurrence of a part ends."""
    found, position = [], text.find(part)
    while position >= 0:
        position += len(part)
        found.append(position)
        position = text.find(part, position)
    return found


def with_uris_at(text: bytes, positions: Iterable[int], instance_url: str) -> bytes:
    """Return what `with_bulk_data_uris` returns, without a search in the text."""
    root = f"{instance_url}/bulkdata/".encode()
    pieces, begin = [], 0
    for position in positions:
        if text[position] == _QUOTE:
            pieces.append(text[begin : position - len(_EMPTY) + 2])
            begin = position + 1
            continue
        end = text.index(b'"', position)
        place = text.find(b"?", position, end)
        pieces += (text[begin:position], root, text[position : end if place < 0 else place])
        begin = end
    pieces.append(text[begin:])
    return b"".join(pieces)


@overload
def without_bulk_data(text: bytes) -> bytes: ...
@overload
def without_bulk_data(text: Iterator[bytes]) -> Iterator[bytes]: ...
def without_bulk_data(text: Text) -> Text:
    """Return the text without binary elements, and with the values of all others (conformance §3.9)."""
    if isinstance(text, bytes):
        return _without_binary(text)
    return map(_without_binary, whole_lines(text))


def _without_binary(text: bytes) -> bytes:
    return _joined_lines(_without(_without(text, _URI), _INLINE))


def _with_uris(text: bytes, root: bytes) -> bytes:
    pieces = _without_long_values(text).split(_URI)
    for index in range(1, len(pieces)):
        piece = pieces[index]
        end = piece.index(b'"')
        place = piece.find(b"?", 0, end)
        pieces[index] = root + piece[: end if place < 0 else place] + piece[end:]
    return _URI.join(pieces).replace(_EMPTY, b"}")


def _without(text: bytes, name: bytes) -> bytes:
    """Return the text without the elements that have a member `name` in place of values."""
    pieces = text.split(name)
    if len(pieces) == 1:
        return text
    kept = [pieces[0]]
    for piece in pieces[1:]:
        before, end = kept[-1], piece.index(b'"') + 1
        following = piece[end : end + 1]
        if following == b"}":
            before, after = before[:-_START], piece[end + 1 :]
            if before.endswith(b","):
                before = before[:-1]
            elif after.startswith(b","):
                after = after[1:]
        elif following == b",":  # the values follow
            after = piece[end + 1 :]
        else:  # the values follow in lines of their own
            before, after = before[:-1], piece[end:]
        kept[-1] = before
        kept.append(after)
    return b"".join(kept)


def _without_long_values(lines: bytes) -> bytes:
    """Return lines as one, without the values that a BulkDataURI stands for."""
    if b"\n" not in lines:
        return lines
    return b"".join(line for line in lines.split(b"\n") if not line.startswith(b"\t"))


def _joined_lines(lines: bytes) -> bytes:
    if b"\n" not in lines:
        return lines
    return lines.replace(b"\n\t", b"").replace(b"\n", b"").removeprefix(b"\t")
