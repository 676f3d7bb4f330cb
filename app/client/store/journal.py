"""The journal of an interrupted run: which files the server has stored, so that the next run does not send them."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from app.client.errors import ClientError

_KEY_BYTES: Final = 16
_LINE_BYTES: Final = 2 * _KEY_BYTES + 1


class JournalInUse(ClientError):
    """Another process runs the same command."""


class JournalFailed(ClientError):
    """The journal cannot be written."""


def journal_path(folder: Path, url: str, partition: str, paths: Sequence[Path]) -> Path:
    """Return the journal of a run in `folder`. The same server, partition and paths have the same journal."""
    run = "\0".join([url, partition, *sorted(str(path.absolute()) for path in paths)])
    return folder / f"store-{hashlib.sha256(run.encode(errors='surrogateescape')).hexdigest()[:32]}.journal"


def state_folder() -> Path:
    """Return the folder for journals: `$XDG_STATE_HOME/bulkhead`, by default `~/.local/state/bulkhead`."""
    given = os.environ.get("XDG_STATE_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".local" / "state") / "bulkhead"


class Journal:
    """A file with a line of 32 hex digits for each stored file: the digest of its key. It names no file and no patient.

    Its first line is the mark of the partition: what `mark` returned when the first file was stored. With another mark
    it is another partition, which holds none of these files. Then the journal starts anew.

    Lines are appended after the server answered. After a kill -9 the last lines may be missing or cut. The next run
    then sends these files again, and the server says that it has them. Raises `JournalInUse` and `JournalFailed`.
    """

    def __init__(self, path: Path, mark: Callable[[], str] = str) -> None:
        self.path = path
        self._mark = mark
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise self._failed(error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise JournalInUse(
                f"Another process runs this command: it has {path} open. Wait for it, or use --no-journal."
            ) from error
        self._is_marked, self._done = self._read()
        self.found = len(self._done)
        """The number of files that earlier runs stored."""

    def _read(self) -> tuple[bool, set[bytes]]:
        """Return whether there is a mark, and the digests. A line that is cut or is no digest is left out."""
        with os.fdopen(os.dup(self._file), "rb") as source:
            text = source.read()
        first, *lines = text.split(b"\n")
        if not lines or first != self._mark_line():
            os.ftruncate(self._file, 0)
            return False, set()
        if lines[-1]:
            os.write(self._file, b"\n")
        done = set()
        for line in lines:
            if len(line) == _LINE_BYTES - 1:
                try:
                    done.add(bytes.fromhex(line.decode("ascii")))
                except ValueError:
                    continue
        return True, done

    def _mark_line(self) -> bytes:
        return b"# " + " ".join(self._mark().split()).encode()

    def has(self, key: str) -> bool:
        """Tell whether an earlier run stored the file with this key."""
        return _digest(key) in self._done

    def add(self, keys: Sequence[str]) -> None:
        """Note that the server has stored these files."""
        if keys:
            try:
                if not self._is_marked:
                    os.write(self._file, self._mark_line() + b"\n")
                    self._is_marked = True
                os.write(self._file, b"".join(_digest(key).hex().encode() + b"\n" for key in keys))
            except OSError as error:
                raise self._failed(error) from error

    def remove(self) -> None:
        """Remove the journal: the run came to its end, and a later one starts anew."""
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if os.fstat(self._file).st_size == 0:
            self.remove()
        os.close(self._file)

    def _failed(self, error: OSError) -> JournalFailed:
        reason = error.strerror or error
        return JournalFailed(f"The journal {self.path} cannot be written: {reason}. Use --journal or --no-journal.")


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=_KEY_BYTES).digest()
