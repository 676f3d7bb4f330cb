"""Compresses JSON and XML answers for clients that accept it (RFC 9110 §8.4, §12.5.3, conformance §1.12).

Files, frames and rendered images are never compressed: most are compressed already, and a stored file is sent by the
system without passing through this process.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol, cast

import zstandard
from flask import Request, Response

from app.web.negotiation import media
from app.web.response.responses import DICOM_JSON, DICOM_XML, JSON, YAML, related_type

MIN_BYTES: Final = 1024
"""A shorter body is sent as it is: compression would save no packet."""

_TYPES: Final = frozenset({JSON, YAML, DICOM_JSON, DICOM_XML})
"""The Content-Types of JSON, YAML and XML answers. They have no parameters."""
_PARTS: Final = f"{related_type(DICOM_XML)};"
"""The beginning of the Content-Type of XML in parts."""


class Compressor(Protocol):
    """Compresses one body."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


# The lowest levels: JSON in DICOM repeats itself, so a higher level costs three times the time and saves a tenth.
_COMPRESSORS: Final[Mapping[str, Callable[[], Compressor]]] = {
    "gzip": lambda: zlib.compressobj(1, wbits=16 + zlib.MAX_WBITS),
    "zstd": lambda: zstandard.ZstdCompressor(level=1).compressobj(),
}


class Choice(NamedTuple):
    """The coding of an answer, None for no coding, and whether the client refuses an answer without one."""

    coding: str | None
    required: bool


def is_negotiated(response: Response) -> bool:
    """Return whether the content coding of an answer depends on the request."""
    return response.status_code == 304 or _is_text(response)


def _is_text(response: Response) -> bool:
    content_type = response.headers.get("Content-Type", "")
    return content_type in _TYPES or content_type.startswith(_PARTS)


def compress(response: Response, request: Request) -> None:
    """Compress a JSON answer if the request accepts it. A stream stays a stream.

    A compressed answer has a weak ETag, because its bytes differ from those of an answer without a coding (RFC 9110
    §8.8.3.3). A 304 repeats the tag in the form that such a client has. If the client accepts none
    of the codings and refuses an answer without one too, the answer has no coding.
    """
    accepted = request.environ.get("HTTP_ACCEPT_ENCODING")
    if not accepted or not is_negotiated(response) or "Content-Encoding" in response.headers:
        return
    choice = chosen(accepted)
    if choice.coding is None:
        return
    if response.status_code == 304:
        if request.if_none_match.is_weak(response.get_etag()[0] or ""):
            _weaken_etag(response)
        return
    compressor = _COMPRESSORS[choice.coding]()
    if response.is_streamed:
        response.response = _compressed(cast(Iterable[bytes], response.response), compressor)
        response.headers.pop("Content-Length", None)
    elif response.data and (choice.required or len(response.data) >= MIN_BYTES):
        response.data = compressor.compress(response.data) + compressor.flush()
    else:
        return
    response.headers["Content-Encoding"] = choice.coding
    _weaken_etag(response)


def _weaken_etag(response: Response) -> None:
    etag, _ = response.get_etag()
    if etag is not None:
        response.set_etag(etag, weak=True)


def chosen(header: str) -> Choice:
    """Return the coding that an Accept-Encoding header prefers: by quality, then zstd before gzip before none.

    `*` stands for gzip and for no coding, if the header does not name them. Never raises.
    """
    qualities: dict[str, float] = {}
    for entry in header.split(","):
        name, parameters = media.parse(entry)
        qualities.setdefault(name.removeprefix("x-"), media.quality(parameters.get("q", "1")))
    others = qualities.get("*", 0.0)
    offered = {
        "zstd": qualities.get("zstd", 0.0),
        "gzip": qualities.get("gzip", others),
        None: qualities.get("identity", others),
    }
    best = max(offered, key=lambda coding: offered[coding])
    required = qualities.get("identity", qualities.get("*", 1.0)) == 0
    return Choice(best if offered[best] else None, required)


def _compressed(chunks: Iterable[bytes], compressor: Compressor) -> Iterator[bytes]:
    """Yield the compressed chunks. If the source raises an error, the compressed body has no end either."""
    for chunk in chunks:
        if compressed := compressor.compress(chunk):
            yield compressed
    yield compressor.flush()
