"""The spool: a folder with the instances that the gateway has received and the server does not have yet.

    lock        held by the one process that uses the spool
    incoming/   files that are being received; removed at start
    queue/      received instances, each one complete and durable: {time}-{random}-{partition in hexadecimal}.dcm
    refused/    instances that the server refused for good, each with a .json that says why

No file name contains text from the network.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final

from app.durable_folders import make_durably, sync_folder
from app.errors import BulkheadError

MIB: Final = 1_048_576
_CHECK_BYTES: Final = 8 * MIB
"""The free space of the disk is read for each file, and again after this many bytes of it."""
_NAME: Final = re.compile(r"([0-9]{20})-[0-9a-f]{8}-((?:[0-9a-f]{2}){0,64})\.dcm", re.ASCII)


class SpoolUnusable(BulkheadError):
    """The folder of the spool cannot be used. The message says why."""


class SpoolFull(OSError):
    """The spool has reached its limit, or the disk has too little free space."""


@dataclass(frozen=True, slots=True)
class Queued:
    """An instance in the queue: the name of its file, and its size in bytes."""

    name: str
    size: int

    @property
    def partition(self) -> str:
        """The name of the partition, empty for a server without partitions."""
        return partition_in(self.name)


def partition_in(name: str) -> str:
    """Return the partition in the name of a file of the queue. Raises ValueError for any other name."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(name)
    return bytes.fromhex(found[2]).decode("ascii")


class IncomingFile(BytesIO):
    """A file that is being received. What is written to it goes to the disk and not to memory.

    It takes the place of the buffer of pynetdicom. A failure of the disk is kept in `failure`: the rest of the dataset
    is read and dropped, so that the peer gets a status. A kill -9 leaves a file in incoming/, which the next start
    removes.
    """

    def __init__(self, spool: Spool, start: bytes) -> None:
        super().__init__()
        self.failure: OSError | None = None
        self.size = 0
        self.dataset_size = 0
        self._spool = spool
        self.path = spool.incoming / f"{secrets.token_hex(16)}.dcm"
        self._file: IO[bytes] | None = None
        try:
            self._file = self.path.open("xb")
        except OSError as error:
            self.failure = error
        self._append(start)

    def write(self, data: Any, /) -> int:
        """Append bytes of the dataset."""
        self._append(data)
        self.dataset_size += len(data)
        return len(data)

    def _append(self, data: bytes) -> None:
        if self.failure is not None or self._file is None:
            return
        try:
            due = self.size == 0 or self.size % _CHECK_BYTES + len(data) >= _CHECK_BYTES
            self._spool.reserve(len(data), check_disk=due)
            self.size += len(data)
            self._file.write(data)
        except OSError as error:
            self.failure = error

    def finish(self, *, durable: bool) -> None:
        """Write everything to the disk. Raises OSError if any byte was lost."""
        if self.failure is not None or self._file is None:
            raise self.failure or OSError("The file is closed.")
        self._file.flush()
        if durable:
            os.fsync(self._file.fileno())
        self._file.close()
        self._file = None

    def discard(self) -> None:
        """Remove the file, if it is still in incoming/. Another call does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._spool.release(self.size)
        self.size = 0
        self.path.unlink(missing_ok=True)

    def moved(self) -> None:
        """Note that the file is in the queue. Its bytes belong to the queue from then on."""
        self.size = 0


class Spool:
    """The folder of the spool. All methods may be called from several threads."""

    def __init__(self, folder: Path, *, limit: int, minimum_free: int) -> None:
        """Use `folder` for at most `limit` bytes, while its disk has `minimum_free` bytes free."""
        self.incoming, self.queue, self.refused = (folder / name for name in ("incoming", "queue", "refused"))
        self._folder, self._limit, self._minimum_free = folder, limit, minimum_free
        self._guard = threading.Lock()
        self._held = 0
        self._lock: IO[bytes] | None = None

    def open(self) -> None:
        """Create the folders, lock the spool and remove unfinished files. Raises `SpoolUnusable`."""
        try:
            for folder in (self._folder, self.incoming, self.queue, self.refused):
                make_durably(folder, 0o700)
            self._lock = (self._folder / "lock").open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for each in self.incoming.iterdir():
                each.unlink()
            self._held = sum(each.size for each in self.queued())
        except BlockingIOError:
            raise SpoolUnusable(f"Another process uses the spool {self._folder}.") from None
        except OSError as error:
            raise SpoolUnusable(f"The spool {self._folder} cannot be used: {error.strerror}.") from error

    def close(self) -> None:
        """Let another process use the spool."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def held(self) -> int:
        """The bytes in incoming/ and queue/."""
        return self._held

    def reserve(self, size: int, *, check_disk: bool) -> None:
        """Take `size` bytes of the limit. Raises `SpoolFull`."""
        if check_disk and shutil.disk_usage(self._folder).free < self._minimum_free:
            raise SpoolFull
        with self._guard:
            if self._held + size > self._limit:
                raise SpoolFull
            self._held += size

    def release(self, size: int) -> None:
        """Give back `size` bytes of the limit."""
        with self._guard:
            self._held -= size

    def keep(self, incoming: IncomingFile, partition: str) -> Queued:
        """Put a received file into the queue. It is durable when this returns. Raises OSError.

        A kill -9 before the return leaves the file in incoming/ or in queue/. The peer has no acknowledgement then,
        and sends the instance again.
        """
        incoming.finish(durable=True)
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}-{partition.encode('ascii').hex()}.dcm"
        queued = Queued(name, incoming.size)
        incoming.path.rename(self.queue / name)
        incoming.moved()
        sync_folder(self.queue)
        return queued

    def path(self, queued: Queued) -> Path:
        """Return the file of an instance in the queue."""
        return self.queue / queued.name

    def queued(self) -> Iterator[Queued]:
        """Yield the instances of the queue, in no order. Files with other names are left alone."""
        with os.scandir(self.queue) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name):
                    try:
                        yield Queued(entry.name, entry.stat().st_size)
                    except FileNotFoundError:
                        continue

    def delivered(self, queued: Queued) -> None:
        """Remove an instance that the server has. A kill -9 before leaves it in the queue, and it is sent again."""
        self.path(queued).unlink(missing_ok=True)
        self.release(queued.size)

    def refuse(self, queued: Queued, reason: dict[str, Any]) -> None:
        """Move an instance that the server refuses for good to refused/, with its reason beside it.

        A kill -9 in between leaves the instance in the queue. It is sent and refused again.
        """
        with (self.refused / f"{queued.name.removesuffix('.dcm')}.json").open("w", encoding="utf-8") as file:
            json.dump({"partition": queued.partition, **reason}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        self.path(queued).rename(self.refused / queued.name)
        for folder in (self.refused, self.queue):
            sync_folder(folder)
        self.release(queued.size)
