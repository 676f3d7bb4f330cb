"""The keys of issuers, kept in memory and renewed (conformance §13.1)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import structlog
from joserfc.jwk import Key

from app.errors import IssuerUnavailable
from app.services.access.issuer_download import DownloadFailed
from app.services.access.jwk_set import read_jwk_set
from app.services.daemon_threads import start_thread

Keys = tuple[Key, ...]

REFRESH_SECONDS: Final = 300.0
"""Age at which keys are read again, in the background."""

PAUSE_SECONDS: Final = 30.0
"""Shortest time between two downloads. So made-up key ids cause no stream of requests to the issuer."""

PAUSE_WITHOUT_KEYS_SECONDS: Final = 5.0
"""The same, as long as there are no keys at all. Until then each request is answered 503 at once."""

WAIT_SECONDS: Final = 3.0
"""How long a request waits while another thread downloads the keys that it needs."""

LONGEST_SECONDS: Final = 86_400.0
"""How long keys serve while the issuer cannot be reached. After a day nobody knows whether they still count."""

_log = structlog.get_logger(__name__)


class IssuerKeys(Protocol):
    """The keys of one or more issuers."""

    def current(self) -> Keys:
        """Return the keys. Raises `IssuerUnavailable` if there are none."""
        ...

    def renewed(self) -> Keys:
        """Return the keys after a look for newer ones, because a JWT names a key that `current` does not have.

        Raises `IssuerUnavailable` if the issuer cannot say what its keys are.
        """
        ...


class DownloadedKeys:
    """Keys that `download` returns as a JWK set. It raises `DownloadFailed`. One thread downloads at a time.

    A thread waits for a download only if it has no key without it.
    """

    def __init__(
        self, name: str, download: Callable[[], bytes], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._download = download
        self._monotonic = monotonic
        self._keys: Keys = ()
        self._read_at = 0.0
        self._tried_at: float | None = None
        self._has_failed = False
        self._lock = threading.Lock()

    def current(self) -> Keys:
        """Return the keys, also those of an issuer that does not answer now. Old keys are renewed in the background."""
        keys, age = self._keys, self._monotonic() - self._read_at
        if not keys or age > LONGEST_SECONDS:
            return self._awaited(PAUSE_WITHOUT_KEYS_SECONDS)
        if age > REFRESH_SECONDS and self._may_try(PAUSE_SECONDS) and self._lock.acquire(blocking=False):
            self._start_renewal()
        return keys

    def renewed(self) -> Keys:
        """Return the keys of a download that started at most 30 seconds ago."""
        keys = self._awaited(PAUSE_SECONDS)
        if self._has_failed:
            raise IssuerUnavailable
        return keys

    def _awaited(self, pause: float) -> Keys:
        if self._may_try(pause) and self._lock.acquire(timeout=WAIT_SECONDS):
            try:
                if self._may_try(pause):  # no other thread did it while this one waited
                    self._renew()
            finally:
                self._lock.release()
        if not self._keys or self._monotonic() - self._read_at > LONGEST_SECONDS:
            raise IssuerUnavailable
        return self._keys

    def _may_try(self, pause: float) -> bool:
        return self._tried_at is None or self._monotonic() - self._tried_at >= pause

    def _start_renewal(self) -> None:
        """Start a thread that reads the keys and releases the lock. If the system gives none, a later request tries."""
        if not start_thread("issuer keys", self._renew_in_background):
            self._lock.release()

    def _renew_in_background(self) -> None:
        try:
            self._renew()
        finally:
            self._lock.release()

    def _renew(self) -> None:
        """Read the keys. A failure leaves the keys as they are. The caller has the lock."""
        try:
            self._keys = read_jwk_set(self._download(), symmetric=False)
            self._read_at = self._monotonic()
            self._has_failed = False
        except (DownloadFailed, ValueError) as error:
            self._has_failed = True
            _log.warning("keys of an issuer cannot be read", issuer=self._name, reason=str(error))
        finally:
            self._tried_at = self._monotonic()


class KeysFile:
    """Keys of a file with a JWK set. The file is read again when it has changed.

    Raises `OSError` or `ValueError` if it cannot be used at the start. Later the keys of before remain.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._version: _FileVersion | None = _version(file)
        self._keys = read_jwk_set(file.read_bytes(), symmetric=True)
        self._lock = threading.Lock()

    def current(self) -> Keys:
        """Return the keys of the file as it is now."""
        with self._lock:
            try:
                version = _version(self._file)
            except OSError:
                version = None
            if version != self._version:
                self._version = version  # before the file is read, so that a faulty file makes one log line
                self._read()
            return self._keys

    def renewed(self) -> Keys:
        """Return the same as `current`, which misses no change."""
        return self.current()

    def _read(self) -> None:
        try:
            self._keys = read_jwk_set(self._file.read_bytes(), symmetric=True)
        except (OSError, ValueError) as error:
            _log.warning("the file of keys cannot be read", file=str(self._file), reason=str(error))


_FileVersion = tuple[int, int, int]


def _version(file: Path) -> _FileVersion:
    found = file.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
