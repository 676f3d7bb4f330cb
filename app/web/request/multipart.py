"""A streaming reader of multipart/related (RFC 2046 §5.1, RFC 2387, conformance §3.1).

Existing libraries read forms. werkzeug's decoder and `multipart` refuse a part without Content-Disposition, and
`python-multipart` refuses a preamble. DICOM parts have no Content-Disposition, and one part may have 2 GiB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from app.errors import InvalidRequest, TooLarge
from app.web.request.body import CHUNK, BodySource

MAX_HEADER_BYTES: Final = 16 * 1024
MAX_PARTS: Final = 100_000
_MAX_PADDING: Final = 64
_WINDOW: Final = 64 * 1024
"""Bytes that are searched at once for the start of a boundary line."""

_LINE_END: Final = re.compile(rb"--|[ \t]{0,%d}(\r?\n)" % _MAX_PADDING)
_LINE_OPEN: Final = re.compile(rb"(?:-|[ \t]{0,%d}\r?)\Z" % _MAX_PADDING)
"""Bytes after a boundary that may become the end of its line when more bytes arrive."""


class Part:
    """One part: a stream of its bytes. It ends when the next part is requested."""

    def __init__(self, reader: MultipartReader, number: int, content_type: str | None) -> None:
        self._reader = reader
        self._number = number
        self.content_type = content_type
        """The header of the part; None if it has none."""

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes, b"" only at the end of the part. Return the whole rest for -1.

        A read for at least `CHUNK` bytes copies few of them. Raises `TooLarge` past the part limit, `InvalidRequest`
        when the body ends without a closing boundary.
        """
        reader = self._reader
        if reader.number != self._number:
            return b""
        return reader.take(size) if size >= 0 else b"".join(iter(lambda: reader.take(CHUNK), b""))


class MultipartReader:
    """Iterates over the parts of a body in order. It reads the body once and keeps a few chunks in memory.

    The unread rest of a part, the preamble and the epilogue are skipped. The first boundary line decides whether lines
    end in CRLF or in LF. The time is linear in the number of bytes, for any number of parts and any size of chunks.
    """

    def __init__(self, source: BodySource, boundary: str, max_part_bytes: int) -> None:
        self._source = source
        self._max_part_bytes = max_part_bytes
        self._dashes = b"--" + boundary.encode("latin-1", "replace")
        # A boundary is at the start of a line. The buffer begins with a line end, so that this holds for the first line
        # of the body too. The preamble is read as a part, number 0, that the iterator does not yield.
        self._newline = b"\n"
        self._delimiter = self._newline + self._dashes
        self._buffer = b"\n"
        self._at = 0  # first byte that was not returned yet
        self._stop = 0  # the bytes before this one belong to the part
        self._after: int | None = None  # first byte after the boundary line that begins at `_stop`, if one was found
        self._last = False
        self._no_parts = False  # .NET writes a body without parts as `--b`, an empty line, `--b--`
        self._part_bytes = 0
        self.number = 0

    def __iter__(self) -> Iterator[Part]:
        """Yield each part. Raises `InvalidRequest` for a malformed body, and `TooLarge` as `Part.read`."""
        while self._advance():
            self._at = self._stop
        while not self._last:
            if self.number == MAX_PARTS:
                raise InvalidRequest(f"The multipart body has more than {MAX_PARTS} parts.")
            self.number += 1
            headers = self._open_part()
            if self.number == 1 and self._no_parts:
                return
            yield Part(self, self.number, headers.get("content-type"))
            while self._skip():
                pass

    def take(self, size: int) -> bytes:
        """Return at least one and at most `size` bytes of the current part, b"" at its end."""
        if not self._advance():
            return b""
        end = min(self._stop, self._at + size)
        data = self._buffer[self._at : end]
        self._at = end
        self._count(len(data))
        return data

    def _skip(self) -> bool:
        if not self._advance():
            return False
        self._count(self._stop - self._at)
        self._at = self._stop
        return True

    def _count(self, size: int) -> None:
        self._part_bytes += size
        if self._part_bytes > self._max_part_bytes:
            raise TooLarge(self._max_part_bytes)

    def _advance(self) -> bool:
        """Make sure that `_at` to `_stop` has bytes of the part. Return False at the end of the part."""
        while self._at == self._stop:
            if self._after is not None:
                return False
            if not self._fill():
                raise InvalidRequest("The multipart body ends without its closing boundary.")
            self._scan()
        return True

    def _fill(self) -> bool:
        chunk = self._source.read(CHUNK)
        self._buffer = self._buffer[self._at :] + chunk
        self._stop -= self._at
        self._at = 0
        return bool(chunk)

    def _scan(self) -> None:
        """Look for a boundary line from `_at` on. Set `_stop`, and `_after` if there is one."""
        buffer, delimiter, found = self._buffer, self._delimiter, self._at
        while (found := _position(delimiter, buffer, found)) >= 0:
            end = found + len(delimiter)
            if line := _LINE_END.match(buffer, end):
                self._stop, self._after = found, line.end()
                self._last = line[1] is None
                if self.number == 0 and line[1]:
                    self._newline = line[1]
                return
            if _LINE_OPEN.match(buffer, end):
                self._stop = found
                return
            found += 1
        # A chunk that cannot end in the start of a boundary goes through whole, without a copy.
        start = buffer.find(delimiter[:1], max(self._at, len(buffer) - len(delimiter) + 1))
        self._stop = len(buffer) if start < 0 else start

    def _open_part(self) -> dict[str, str]:
        """Move past the boundary line and the headers. Return the headers of the part by lower-case name."""
        assert self._after is not None  # noqa: S101 - for mypy: a part begins after a boundary line
        self._at = self._stop = self._after
        self._after = None
        self._part_bytes = 0
        self._delimiter = self._newline + self._dashes
        headers = self._headers()
        # In a part without bytes, the boundary follows the empty line directly (RFC 2046 §5.1.1).
        self._need(len(self._delimiter) + _MAX_PADDING + 2)
        self._scan()
        without_bytes = self._after is not None and self._stop == self._at
        self._no_parts = without_bytes and self._last and not headers
        if not without_bytes:
            self._at += len(self._newline)
            self._stop = max(self._stop, self._at)
        return headers

    def _headers(self) -> dict[str, str]:
        """Return the headers by lower-case name. The position is then at the empty line after them."""
        newline = self._newline
        self._need(len(newline))
        if self._buffer.startswith(newline, self._at):
            return {}
        searched = self._at
        while (end := self._buffer.find(newline * 2, searched)) < 0 and len(
            self._buffer
        ) - self._at <= MAX_HEADER_BYTES:
            searched = max(0, len(self._buffer) - self._at - 3)
            if not self._fill():
                raise InvalidRequest("The multipart body ends within the headers of a part.")
        if not 0 <= end - self._at <= MAX_HEADER_BYTES:
            raise InvalidRequest(f"The headers of a part are over {MAX_HEADER_BYTES} bytes.")
        block = self._buffer[self._at : end]
        self._at = self._stop = end + len(newline)
        return dict(_header(line) for line in _unfolded(block, newline).split(newline))

    def _need(self, size: int) -> None:
        """Make sure that the buffer has `size` unread bytes, fewer only at the end of the body."""
        while len(self._buffer) - self._at < size and self._fill():
            pass


def _position(delimiter: bytes, buffer: bytes, start: int) -> int:
    """Return where the delimiter begins first, from `start` on, and -1 if it is not there.

    In CPython `rfind` passes over bytes without the delimiter in half the time of `find` or less. The windows keep the
    time linear for many parts.
    """
    while start < len(buffer):
        end = start + _WINDOW
        if buffer.rfind(delimiter, start, end + len(delimiter) - 1) >= 0:
            return buffer.find(delimiter, start)
        start = end
    return -1


def _unfolded(block: bytes, newline: bytes) -> bytes:
    return block.replace(newline + b" ", b" ").replace(newline + b"\t", b" ")


def _header(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    if not colon:
        raise InvalidRequest("A part of the multipart body has a malformed header.")
    return name.strip().decode("latin-1").lower(), value.strip().decode("latin-1")
