"""Answers: JSON, streams of JSON, one file, one frame, and multipart/related (PS3.18 §8.6)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO, Final, NamedTuple

import orjson
from flask import Response, request
from werkzeug.wsgi import wrap_file

DICOM_JSON: Final = "application/dicom+json"
JSON: Final = "application/json"
CHUNK: Final = 1024 * 1024
"""Bytes read from a file and handed to the server at once."""

_JSON_CHUNK: Final = 128 * 1024
_FIRST_JSON_CHUNK: Final = 1024 * 1024
"""Bytes of a JSON array that are made before the answer begins, so that an error in them is answered with its status."""


class Piece(NamedTuple):
    """What goes into one part: its Content-Type, its size in bytes where that is known, and its bytes."""

    content_type: str
    length: int | None
    chunks: Iterable[bytes]


def empty(status: int) -> Response:
    """Return an answer without a body, and so without a type."""
    response = Response(status=status)
    del response.headers["Content-Type"]
    return response


def dicom_json(value: Any, status: int = 200) -> Response:
    """Return a DICOM JSON body."""
    return Response(orjson.dumps(value), status, content_type=DICOM_JSON)


def json(value: Any, status: int = 200) -> Response:
    """Return the JSON body of a management resource."""
    return Response(orjson.dumps(value), status, content_type=JSON)


def accepted(operation: str, href: str) -> Response:
    """Return the answer of a call that started an operation: 202, a reference to it, and where to ask (conformance §9.4)."""
    response = json({"id": operation, "href": href}, 202)
    response.headers["Location"] = href
    return response


def json_array(documents: Iterator[bytes], content_type: str = DICOM_JSON) -> Response:
    """Return an array of serialised objects: a small array whole with its length, a large one as a stream.

    An error before the first chunk is complete is answered with its status. Later only the connection can be broken.
    """
    chunks = _array(documents)
    first = next(chunks)
    whole = first.endswith(b"]")  # an object ends with "}", so this is the end of the array
    return Response(first if whole else chain((first,), chunks), content_type=content_type)


def file(stream: BinaryIO, content_type: str, length: int) -> Response:
    """Return the file as it lies; the server may send it without passing it through Python."""
    return Response(
        wrap_file(request.environ, stream, CHUNK),
        content_type=content_type,
        headers={"Content-Length": str(length)},
        direct_passthrough=True,
    )


def single(piece: Piece) -> Response:
    """Return one piece as the whole body. What fails before its first bytes is raised here, not in mid-answer."""
    headers = None if piece.length is None else {"Content-Length": str(piece.length)}
    return Response(_started(iter(piece.chunks)), content_type=piece.content_type, headers=headers)


def related(media_type: str, pieces: Iterable[Piece]) -> Response:
    """Return the pieces as multipart/related, with a Content-Length when they are a list of known lengths.

    What fits one chunk is sent in one piece: every hand-over to the server costs a call into the kernel. What fails
    before the first bytes of the first piece is raised here, not in mid-answer.
    """
    boundary = uuid.uuid4().hex
    content_type = f'multipart/related; type="{media_type}"; boundary={boundary}'
    body = _started(_multipart(boundary, pieces))
    if not isinstance(pieces, list) or None in (lengths := [piece.length for piece in pieces]):
        return Response(body, content_type=content_type)
    length = sum(len(_head(boundary, piece)) for piece in pieces) + sum(lengths) + len(_tail(boundary))
    if length <= CHUNK:
        return Response(b"".join(body), content_type=content_type)
    return Response(body, content_type=content_type, headers={"Content-Length": str(length)})


def chunks_of(open_file: Callable[[], BinaryIO], length: int) -> Iterator[bytes]:
    """Yield the `length` bytes of a file that is opened when they are due and closed after them."""
    with open_file() as stream:
        while length and (chunk := stream.read(min(length, CHUNK))):
            length -= len(chunk)
            yield chunk


def _started(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Return the same chunks with the first one made, so that a refusal comes before the answer begins."""
    return chain((next(chunks, b""),), chunks)


def _multipart(boundary: str, pieces: Iterable[Piece]) -> Iterator[bytes]:
    for piece in pieces:
        chunks = iter(piece.chunks)
        yield _head(boundary, piece) + next(chunks, b"")
        yield from chunks
    yield _tail(boundary)


def _head(boundary: str, piece: Piece) -> bytes:
    return f"\r\n--{boundary}\r\nContent-Type: {piece.content_type}\r\n\r\n".encode()


def _tail(boundary: str) -> bytes:
    return f"\r\n--{boundary}--\r\n".encode()


def _array(documents: Iterator[bytes]) -> Iterator[bytes]:
    """Yield `[a,b,…]` in chunks; the last one ends with the bracket. One large document at a time is in memory."""
    waiting, size, limit = [b"["], 1, _FIRST_JSON_CHUNK
    separator = b""
    for document in documents:
        waiting += (separator, document)
        size += len(document) + 1
        separator = b","
        if size >= limit:
            del document
            chunk = b"".join(waiting)
            waiting, size, limit = [], 0, _JSON_CHUNK
            yield chunk
            del chunk
    waiting.append(b"]")
    yield b"".join(waiting)
