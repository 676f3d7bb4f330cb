"""The folder in which the processes of one server keep their values, a file for each process.

A process holds a lock on its file as long as it lives. The kernel releases the lock when the process ends, also after a
kill -9. A new process continues the file of a process that has died. So no counter ever shrinks, and there are never
more files than there were processes at the same time.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from mmap import mmap
from pathlib import Path
from typing import Final

import structlog

from app.metrics import cells, kinds

_NAME: Final = "bulkhead-metrics-"
_OWNER: Final = "owner"
"""The file that the server locks. The lock says that the folder is in use before any process has a file."""
_SUFFIX: Final = ".values"
_NEW_SECONDS: Final = 60
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - mkdtemp makes the folder

_joined: Final[list[Path]] = []
"""The folder that has the values of this process, if there is one."""

_log = structlog.get_logger(__name__)


class ServerFolder:
    """The folder of one server, from its start to its end. A kill -9 leaves the folder to the next start."""

    def __init__(self) -> None:
        """Make the folder, in memory if possible. Remove the folders of servers of this user that have died.

        Raises `OSError`.
        """
        parent = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
        prefix = f"{_NAME}{os.getuid()}-"
        for left in parent.glob(f"{prefix}*"):
            if _is_left(left):
                shutil.rmtree(left, ignore_errors=True)
        self.path: Final = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        self._owner = os.open(self.path / _OWNER, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._owner)


def join(folder: Path) -> None:
    """Keep the values of this process in the folder from now on. If that fails, they stay in this process alone."""
    if folder in _joined:
        return
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        kinds.use(cells.Cells(_claim(folder)))
    except OSError as error:
        _log.warning("metrics of this process are not shared", error=type(error).__name__)
    else:
        _joined[:] = [folder]


def contents(folder: Path) -> Iterator[tuple[bytes, bool]]:
    """Yield what each file has, and whether its process lives."""
    for path in sorted(folder.glob(f"*-{_layout()}{_SUFFIX}")):
        with suppress(OSError), path.open("rb") as file:
            living = not _try_lock(file.fileno(), fcntl.LOCK_SH)
            yield file.read(), living


def _claim(folder: Path) -> mmap:
    """Return the memory of a file that no living process has: that of a dead process, or a new one."""
    for number in range(1 << 16):
        descriptor = os.open(folder / f"{number}-{_layout()}{_SUFFIX}", os.O_CREAT | os.O_RDWR, 0o600)
        if not _try_lock(descriptor, fcntl.LOCK_EX):
            os.close(descriptor)
            continue
        missing = cells.SIZE - os.fstat(descriptor).st_size
        if missing > 0:
            # The bytes are written, because a hole that cannot be filled later would end the process by a signal.
            os.pwrite(descriptor, bytes(missing), cells.SIZE - missing)
        return mmap(descriptor, cells.SIZE)  # the lock stays with the descriptor, which stays open
    raise OSError


def _layout() -> str:
    """Return a word for the set of metrics. Another release has another one, and leaves these files alone."""
    return sha256(
        repr([(each.name, each.labels, each.count) for each in kinds.Metric.registry.values()]).encode()
    ).hexdigest()[:8]


def _try_lock(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_left(folder: Path) -> bool:
    """Return whether the server of a folder has died. A folder without an owner file is perhaps being made."""
    try:
        with (folder / _OWNER).open("rb") as owner:
            return _try_lock(owner.fileno(), fcntl.LOCK_SH)
    except FileNotFoundError:
        with suppress(OSError):
            return folder.stat().st_mtime < time.time() - _NEW_SECONDS
    except OSError:
        pass
    return False
