"""Answers of the handlers: JSON, one file, one frame, and multipart/related (PS3.18 §8.6)."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO, Final, NamedTuple

import orjson
from flask import Response, request
from werkzeug.wsgi import wrap_file

from app.dicom.encoding.uids import is_uid
from app.errors import StorageUnavailable
from app.web.negotiation.dataset_media_types import DICOM_JSON as DICOM_JSON
from app.web.negotiation.dataset_media_types import DICOM_XML as DICOM_XML
from app.web.response.byte_ranges import ByteRange, requested_range

JSON: Final = "application/json"
YAML: Final = "application/yaml"
CHUNK: Final = 256 * 1024
"""Bytes that are read from a file and passed to the server at once. A slow client holds about three of these chunks."""

_ONE_CHUNK: Final = 1024 * 1024
"""Bytes of a multipart body that is passed to the server at once."""

_JSON_CHUNK: Final = 128 * 1024
_FIRST_JSON_CHUNK: Final = 1024 * 1024
"""Bytes of a JSON array that are made before the answer begins. An error in them is answered with its status."""


class BodyPart(NamedTuple):
    """A part of an answer: its Content-Type, its size in bytes (None if unknown), its bytes, and perhaps its URL."""

    content_type: str
    length: int | None
    chunks: Iterable[bytes]
    location: str = ""


def typed(media_type: str, transfer_syntax: str) -> str:
    """Return the Content-Type of a file or a frame. Text that is no UID never becomes a part of a header.

    Such text comes from files that an earlier release stored without a check. They are returned without the parameter.
    """
    return f"{media_type}; transfer-syntax={transfer_syntax}" if is_uid(transfer_syntax) else media_type


def related_type(media_type: str) -> str:
    """Return multipart/related with parts of a media type, without the boundary."""
    return f'multipart/related; type="{media_type}"'


def empty(status: int) -> Response:
    """Return an answer without a body and without a Content-Type."""
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
    """Return the answer of a call that started an operation: 202 with the URL of the operation (conformance §9.4)."""
    response = json({"id": operation, "href": href}, 202)
    response.headers["Location"] = href
    return response


def json_array(documents: Iterable[bytes | Iterable[bytes]], content_type: str = DICOM_JSON) -> Response:
    """Return an array of serialised objects. A large array is a stream without a Content-Length.

    A very large object comes in chunks. It is passed on without being in memory as a whole.

    An error before the first chunk is complete is answered with its status. Later only the connection can be broken.
    """
    chunks = _array(documents)
    first, is_last = next(chunks)
    body = first if is_last else chain((first,), (chunk for chunk, _ in chunks))
    return Response(body, content_type=content_type)


def file(open_file: Callable[[int, int | None], BinaryIO], content_type: str, size: int) -> Response:
    """Return a file of `size` bytes, or the byte range that the request asks for (conformance §4.4).

    `open_file` takes the first byte and the number of bytes, None for all. The server may send the bytes of a local
    file with `sendfile`, past Python. Raises what `open_file` raises, and `RangeNotSatisfiable`. Raises
    `StorageUnavailable` if the file is shorter. An error before the first bytes is raised here.
    """
    wanted = requested_range(request, size)
    response = _ranged(wanted, content_type, size)
    if _is_head():
        return response
    stream = open_file(wanted.start, wanted.length) if wanted else open_file(0, None)
    length = wanted.length if wanted else size
    if isinstance(stream, io.FileIO):
        _require_bytes(stream, length)
        response.response = wrap_file(request.environ, stream, CHUNK)
        response.direct_passthrough = True
    else:
        response.response = _started(chunks_of(lambda: stream, length))
    return response


def _require_bytes(file: io.FileIO, length: int) -> None:
    """Raise `StorageUnavailable` if a local file has fewer bytes from its position on. The server would not notice."""
    if os.fstat(file.fileno()).st_size - file.tell() < length:
        file.close()
        raise StorageUnavailable


def ranged(
    read: Callable[[int, int], Iterator[bytes]], content_type: str, size: int, etag: str | None = None
) -> Response:
    """Return content of `size` bytes, or the byte range that the request asks for (conformance §4.4).

    `read` takes the first byte and the number of bytes, and returns chunks. `etag` comes without quotes. An error
    before the first chunk is raised here, while it can be answered. Raises `RangeNotSatisfiable` too.
    """
    wanted = requested_range(request, size, etag)
    response = _ranged(wanted, content_type, size)
    if not _is_head():
        response.response = _started(read(wanted.start, wanted.length) if wanted else read(0, size))
    return response


def single(part: BodyPart) -> Response:
    """Return one part as the whole body. An error before its first bytes is raised here, while it can be answered."""
    headers = None if part.length is None else {"Content-Length": str(part.length)}
    body = _started(iter(part.chunks))
    return Response(body, content_type=part.content_type, headers=headers)


def related(media_type: str, parts: Iterable[BodyPart]) -> Response:
    """Return the parts as multipart/related. A list of parts of known sizes gives a Content-Length.

    A body of at most a MiB is passed to the server at once, because each call of the server is a system call. An
    error before the first bytes of the first part is raised here, while it can be answered.
    """
    boundary = uuid.uuid4().hex
    content_type = f"{related_type(media_type)}; boundary={boundary}"
    body = _started(_multipart(boundary, parts))
    if not isinstance(parts, list) or None in (lengths := [part.length for part in parts]):
        return Response(body, content_type=content_type)
    length = sum(len(_head(boundary, part)) for part in parts) + sum(lengths) + len(_tail(boundary))
    if length <= _ONE_CHUNK and not _is_head():
        return Response(b"".join(body), content_type=content_type)
    return Response(body, content_type=content_type, headers={"Content-Length": str(length)})


def chunks_of(open_file: Callable[[], BinaryIO], length: int) -> Iterator[bytes]:
    """Yield `length` bytes of a file. The file is opened before the first chunk and closed after the last one.

    Raises `StorageUnavailable` if the file is shorter: the part has a Content-Length, so it must not end early.
    """
    with open_file() as stream:
        while length:
            chunk = stream.read(min(length, CHUNK))
            if not chunk:
                raise StorageUnavailable
            length -= len(chunk)
            yield chunk


def _is_head() -> bool:
    """Return whether the client asks for the headers alone. No file is opened for it."""
    return request.method == "HEAD"


def _ranged(wanted: ByteRange | None, content_type: str, size: int) -> Response:
    """Return the status and the headers for the range, or for the whole content, with an empty body."""
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(wanted.length if wanted else size)}
    if wanted:
        headers["Content-Range"] = wanted.content_range
    return Response((), 206 if wanted else 200, content_type=content_type, headers=headers)


def _started(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Return the same chunks, the first of them computed already, so that its error comes before the status is sent.

    The answer to HEAD has no body, so nothing is computed for it.
    """
    return iter(()) if _is_head() else chain((next(chunks, b""),), chunks)


def _multipart(boundary: str, parts: Iterable[BodyPart]) -> Iterator[bytes]:
    for part in parts:
        chunks = iter(part.chunks)
        yield _head(boundary, part) + next(chunks, b"")
        yield from chunks
    yield _tail(boundary)


def _head(boundary: str, part: BodyPart) -> bytes:
    length = "" if part.length is None else f"Content-Length: {part.length}\r\n"
    location = f"Content-Location: {part.location}\r\n" if part.location else ""
    return f"\r\n--{boundary}\r\nContent-Type: {part.content_type}\r\n{length}{location}\r\n".encode()


def _tail(boundary: str) -> bytes:
    return f"\r\n--{boundary}--\r\n".encode()


def _array(documents: Iterable[bytes | Iterable[bytes]]) -> Iterator[tuple[bytes, bool]]:
    """Yield `[a,b,…]` in chunks, each with whether it is the last one. One large document at a time is in memory."""
    pending, size, limit = [b"["], 1, _FIRST_JSON_CHUNK
    separator = b""
    for document in documents:
        pending.append(separator)
        separator = b","
        if isinstance(document, bytes):
            pending.append(document)
            size += len(document) + 1
            del document  # `pending` has it: it is not kept while the chunk is sent
        else:
            for piece in document:
                pending.append(piece)
                size += len(piece)
                if size >= limit:
                    yield _joined(pending), False
                    size, limit = 0, _JSON_CHUNK
        if size >= limit:
            yield _joined(pending), False
            size, limit = 0, _JSON_CHUNK
    pending.append(b"]")
    yield _joined(pending), True


def _joined(pending: list[bytes]) -> bytes:
    """Return the bytes and empty the list."""
    chunk = b"".join(pending)
    pending.clear()
    return chunk
