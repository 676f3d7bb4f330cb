"""Bodies of files that are written past the page cache (`O_DIRECT` of Linux).

A usual write copies a body into new pages of the page cache. A virtual machine must often get these pages from its host
first. That takes more time of the processor than the rest of a store. A direct write takes the bytes from a buffer that
is used again and again, and the page cache keeps what is read.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import threading
from collections import deque
from queue import SimpleQueue
from types import TracebackType
from typing import Final

BUFFER_BYTES: Final = 1024 * 1024
"""Bytes of one direct write. Larger writes are not faster."""

_BLOCK: Final = 4096
"""The address of a buffer, the place in the file and the size of a direct write are multiples of this (open(2))."""

_DIRECT: Final = getattr(os, "O_DIRECT", 0)
"""The flag of a descriptor whose writes are direct, 0 on a system that has none."""

_KEPT_BUFFERS: Final = 16
_free_buffers: deque[mmap.mmap] = deque()
"""Buffers for the next bodies. The methods of a deque that are used here are safe with threads."""


class BodyWriter:
    """Appends a body to an empty file, past the page cache if `direct` and if the file system allows it.

    With `overlap`, a thread writes a full buffer while the caller fills the next one. Two buffers are used then. A
    direct write needs whole blocks, so the last bytes of a body are written through the page cache. The bytes of a
    direct write are not durable when the call returns: the file needs a sync, as after usual writes. A kill -9 or a
    power loss before that sync leaves any part of the body.

    `write` and `finish` raise the error of a write, which may be an earlier one. After `finish` the file has all
    bytes, and its descriptor reads and writes as usual.
    """

    def __init__(self, descriptor: int, *, direct: bool, overlap: bool = False) -> None:
        self._descriptor = descriptor
        self._overlap = overlap
        self._direct = direct and _set_direct(descriptor)
        self._buffer: mmap.mmap | None = None
        self._filled = 0
        self._thread: _WritingThread | None = None

    def __enter__(self) -> BodyWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until no thread uses the file, and release the buffers. The caller closes the file."""
        if self._thread is not None:
            self._thread.end()
            self._thread = None
        if self._buffer is not None:
            _give_back(self._buffer)
            self._buffer = None

    def write(self, chunk: bytes) -> None:
        left = memoryview(chunk)
        if not self._direct:
            _write_all(self._descriptor, left)
            return
        while left:
            buffer = self._buffer = self._buffer or _take_buffer()
            part = left[: BUFFER_BYTES - self._filled]
            end = self._filled + len(part)
            buffer[self._filled : end] = part
            self._filled = end
            left = left[len(part) :]
            if end == BUFFER_BYTES:
                self._write_buffer(buffer)

    def _write_buffer(self, buffer: mmap.mmap) -> None:
        self._filled = 0
        if self._overlap and self._thread is None:
            self._thread = _WritingThread.started(self._descriptor)
            self._overlap = self._thread is not None
        if self._thread is None:
            _write_all(self._descriptor, memoryview(buffer))
        else:
            self._buffer = self._thread.exchange(buffer)

    def finish(self) -> None:
        """Write the bytes that are still in the buffer."""
        if self._thread is not None:
            self._thread.wait()
        if not self._direct:
            return
        rest = memoryview(self._buffer or b"")[: self._filled]
        whole_blocks = self._filled - self._filled % _BLOCK
        _write_all(self._descriptor, rest[:whole_blocks])
        _clear_direct(self._descriptor)
        _write_all(self._descriptor, rest[whole_blocks:])


class _WritingThread:
    """A thread that appends full buffers to a file, one at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._full: SimpleQueue[mmap.mmap | None] = SimpleQueue()
        self._written: SimpleQueue[mmap.mmap | Exception] = SimpleQueue()
        self._written.put(_take_buffer())
        self._thread = threading.Thread(target=self._run, name="direct writes", daemon=True)

    @classmethod
    def started(cls, descriptor: int) -> _WritingThread | None:
        """Return a thread that runs, or None if the system gives no thread."""
        writing = cls(descriptor)
        try:
            writing._thread.start()
        except RuntimeError:  # the process, its container or the machine has as many threads as it may have
            writing._release_buffers()
            return None
        return writing

    def exchange(self, buffer: mmap.mmap) -> mmap.mmap:
        """Give a full buffer to the thread and return one that is written. Raises the error of a write before."""
        written = self._next_written()
        self._full.put(buffer)
        return written

    def wait(self) -> None:
        """Wait until all buffers are written. Raises the error of a write."""
        self._written.put(self._next_written())

    def end(self) -> None:
        """Wait for a write that runs, end the thread and release its buffers."""
        self._full.put(None)
        self._thread.join()
        self._release_buffers()

    def _release_buffers(self) -> None:
        while not self._written.empty():
            written = self._written.get()
            if not isinstance(written, Exception):
                _give_back(written)

    def _next_written(self) -> mmap.mmap:
        written = self._written.get()
        if isinstance(written, Exception):
            raise written
        return written

    def _run(self) -> None:
        while (buffer := self._full.get()) is not None:
            try:
                _write_all(self._descriptor, memoryview(buffer))
            except Exception as error:  # noqa: BLE001 - the caller raises it. Without an answer it would wait for ever
                _give_back(buffer)
                self._written.put(error)
                return
            self._written.put(buffer)


def _take_buffer() -> mmap.mmap:
    """Return a buffer whose address is a multiple of a block. After a fork each process has its own copy.

    A fork during a direct read into private memory could lose bytes (open(2)). A direct write only reads the buffer,
    and nobody changes the buffer before the write ends.
    """
    with contextlib.suppress(IndexError):
        return _free_buffers.pop()
    return mmap.mmap(-1, BUFFER_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _give_back(buffer: mmap.mmap) -> None:
    if len(_free_buffers) < _KEPT_BUFFERS:
        _free_buffers.append(buffer)


def _write_all(descriptor: int, left: memoryview) -> None:
    """Append bytes to the file. If it takes no direct write of them, usual writes follow.

    A file system may refuse all direct writes. After a short write the rest may be no whole number of blocks. No file
    system takes such a rest directly.
    """
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except OSError as error:
            if error.errno != errno.EINVAL or not _clear_direct(descriptor):
                raise


def _set_direct(descriptor: int) -> bool:
    """Make the next writes direct. Return False if the system or the file system has no direct writes."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | _DIRECT)
    except OSError:
        return False
    return bool(_DIRECT)


def _clear_direct(descriptor: int) -> bool:
    """Make the next writes usual ones. Return whether they were direct."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~_DIRECT)
    return bool(flags & _DIRECT)
