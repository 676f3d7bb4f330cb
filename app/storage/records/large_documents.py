"""Metadata documents with large elements, packed so that most readers need only their small part.

The bytes are: the packed small part, the packed JSON text of each large element, an index, a mark. The small part is
the whole dataset as DICOM JSON, with a shortened form of each large element. The index is JSON: it maps the tag of a
large element to its `TextPlace`. A document without large elements is the packed small part alone.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson
import zstandard

_MARK: Final = b"\x93LARGE\r\n"
_LENGTH: Final = 4
"""Bytes of the length of the index, which precedes the mark."""


class TextPlace(NamedTuple):
    """Where the packed text of a large element is: from the byte `start` to before `stop`.

    The values of bulk data in the file lie `shift` bytes after the places that the text names, because a bulk update
    does not rewrite the text.
    """

    start: int
    stop: int
    shift: int = 0


Places = Mapping[str, TextPlace]
"""Tag of a large element -> its place."""


class TooMuchText(Exception):
    """A document has more bytes than it may have."""


def packed_with(small: bytes, texts: Iterable[tuple[str, Iterable[bytes]]], *, level: int, limit: int) -> bytes:
    """Return the document of a packed small part and the JSON texts of the large elements, by tag.

    One chunk of a text is in memory at a time. Raises `TooMuchText` for more than `limit` bytes of text.
    """
    out = io.BytesIO()
    out.write(small)
    places: dict[str, TextPlace] = {}
    for tag, chunks in texts:
        start = out.tell()
        with zstandard.ZstdCompressor(level=level).stream_writer(out, closefd=False) as stream:
            for chunk in chunks:
                limit -= len(chunk)
                if limit < 0:
                    raise TooMuchText
                stream.write(chunk)
        places[tag] = TextPlace(start, out.tell())
    return _finished(out, places)


def with_small_part(document: bytes, small: bytes, shifts: Mapping[str, int]) -> bytes:
    """Return a document with another packed small part. Of its large elements it keeps those of the tags in `shifts`.

    Each value is the number of bytes by which the element lies later in the new file.
    """
    old = places_in(document)
    out = io.BytesIO()
    out.write(small)
    places: dict[str, TextPlace] = {}
    for tag, shift in shifts.items():
        place = old[tag]
        begin = out.tell()
        out.write(document[place.start : place.stop])
        places[tag] = TextPlace(begin, out.tell(), place.shift + shift)
    return _finished(out, places)


def places_in(document: bytes) -> Places:
    """Return where the texts of the large elements are; empty if there are none."""
    if not document.endswith(_MARK):
        return {}
    stop = len(document) - len(_MARK) - _LENGTH
    length = int.from_bytes(document[stop : stop + _LENGTH], "little")
    places: dict[str, list[int]] = orjson.loads(document[stop - length : stop])
    return {tag: TextPlace(*place) for tag, place in places.items()}


def text_of(document: bytes, place: TextPlace) -> Iterator[bytes]:
    """Yield the JSON text of one large element."""
    yield from zstandard.ZstdDecompressor().read_to_iter(document[place.start : place.stop])


def whole_text(document: bytes, small: Mapping[str, Any], *, values: bool = True) -> Iterator[bytes]:
    """Yield the JSON text of a document, in lines as `dicom/json/bulk_data.py` describes. `small` is its small part.

    Without `values`, a large value that has a BulkDataURI is left out.
    """
    places = places_in(document)
    if not values:
        named = [tag for tag in places if "BulkDataURI" in small[tag]]
        places = {tag: place for tag, place in places.items() if tag not in named}
        small = {**small, **{tag: {name: small[tag][name] for name in ("vr", "BulkDataURI")} for tag in named}}
    separator, run = b"{", {}
    for tag, element in small.items():
        if tag not in places:
            run[tag] = element
            continue
        if run:
            yield separator + orjson.dumps(run)[1:-1]
            separator, run = b",", {}
        yield separator + orjson.dumps(tag) + b":"
        separator = b","
        yield from text_of(document, places[tag])
    yield (separator + orjson.dumps(run)[1:-1] if run else b"") + b"}"


def _finished(out: io.BytesIO, places: Places) -> bytes:
    if places:
        index = orjson.dumps({tag: list(place) for tag, place in places.items()})
        out.write(index + len(index).to_bytes(_LENGTH, "little") + _MARK)
    return out.getvalue()
