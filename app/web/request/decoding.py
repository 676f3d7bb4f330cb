"""Decodes compressed request bodies (RFC 9110 §8.4, conformance §1.12)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

import zstandard

from app.errors import InvalidRequest, UnsupportedCoding

MAX_MEMBERS: Final = 100_000
"""Gzip members or zstd frames of a body. Each costs time, also an empty one."""

_ZSTD_WINDOW: Final = 8 * 1024 * 1024
"""Bytes of the largest window that a decoder of HTTP content must support (RFC 9659 §3)."""

_READ: Final = 256 * 1024


class Decoder(Protocol):
    """Decodes one gzip member or one zstd frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class Coding(NamedTuple):
    """A content coding. `step` bytes are decoded at once: they become at most 8 MiB, whatever a sender wrote."""

    name: str
    decoder: Callable[[], Decoder]
    step: int


# A byte of deflate becomes at most 1,032 bytes, and a block of 4 bytes of zstd at most 128 KiB.
_GZIP: Final = Coding("gzip", lambda: zlib.decompressobj(16 + zlib.MAX_WBITS), 4096)
_ZSTD: Final = Coding("zstd", lambda: zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj(), 256)
_CODINGS: Final[Mapping[str, Coding | None]] = {
    "gzip": _GZIP,
    "x-gzip": _GZIP,
    "zstd": _ZSTD,
    "identity": None,
    "": None,
}


class EncodedBody(Protocol):
    """The bytes that the client sent."""

    def begin(self) -> None: ...

    def read(self, size: int = -1, /) -> bytes: ...


def coding_of(header: str) -> Coding | None:
    """Return the coding that a Content-Encoding header names, None for none. Raises `UnsupportedCoding` for another."""
    try:
        return _CODINGS[header.strip().lower()]
    except KeyError:
        raise UnsupportedCoding(f"The content encoding '{header.strip()}' is not supported.") from None


class DecodedBody:
    """The decoded bytes of a body, as a stream. It keeps at most 8 MiB of them in memory. The caller limits the sum."""

    def __init__(self, body: EncodedBody, coding: Coding) -> None:
        self._body = body
        self._coding = coding
        self._decoder: Decoder | None = None
        self._members = 0
        self._encoded, self._encoded_at = b"", 0
        self._decoded, self._decoded_at = b"", 0

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, fewer only at the end of the body.

        Raises `InvalidRequest` for bytes that are not of this coding and for a cut body, and as the body itself.
        """
        pieces = []
        while size:
            if self._decoded_at == len(self._decoded):
                self._decoded, self._decoded_at = self._next(), 0
                if not self._decoded:
                    break
            piece = self._decoded[self._decoded_at : self._decoded_at + size]
            self._decoded_at += len(piece)
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def _next(self) -> bytes:
        """Return the next decoded bytes, b"" at the end of the body."""
        while self._fill():
            decoder = self._decoder
            if decoder is None or decoder.eof:
                decoder = self._decoder = self._next_member()
            step = self._encoded[self._encoded_at : self._encoded_at + self._coding.step]
            try:
                decoded = decoder.decompress(step)
            except (zlib.error, zstandard.ZstdError) as error:
                raise self._invalid() from error
            self._encoded_at += len(step) - len(decoder.unused_data)
            if decoded:
                return decoded
        if self._decoder is not None and not self._decoder.eof:
            raise self._invalid()
        return b""

    def _fill(self) -> bool:
        """Make sure that there are encoded bytes. Return False at the end of the body."""
        if self._encoded_at == len(self._encoded):
            if self._decoder is None:
                self._body.begin()
            self._encoded, self._encoded_at = self._body.read(_READ), 0
        return bool(self._encoded)

    def _next_member(self) -> Decoder:
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise self._invalid()
        return self._coding.decoder()

    def _invalid(self) -> InvalidRequest:
        return InvalidRequest(f"The request body could not be decoded as '{self._coding.name}'.")
