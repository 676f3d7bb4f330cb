"""The download of one instance, checked against its length and its digest."""

from __future__ import annotations

import hashlib
import re
from threading import Event
from typing import IO, Final

import httpx

from app.client.answers import digest_of
from app.client.connection import ArchiveClient
from app.client.errors import CredentialsRefused, PartitionRefused, Refused, RightMissing
from app.client.identifiers import Identifier

AS_STORED: Final = "*"
_TRIES: Final = 3
_OK: Final = 200
_PIECE_BYTES: Final = 1 << 20
_LENGTH: Final = re.compile("[0-9]{1,18}", re.ASCII)


class DownloadFailed(Exception):
    """The instance cannot be retrieved. The text is the reason, in one line."""


class Stopped(Exception):
    """The run was interrupted during the download."""


class Downloader:
    """Retrieves instances in one transfer syntax: a UID, or `*` for that of the stored file. Threads may share it."""

    def __init__(self, client: ArchiveClient, transfer_syntax: str, stopped: Event) -> None:
        self._client = client
        self._headers = {"Accept": f"application/dicom; transfer-syntax={transfer_syntax}"}
        self._as_stored = transfer_syntax == AS_STORED
        self._stopped = stopped

    def stored_size(self, instance: Identifier) -> int | None:
        """Return the size of the file of an instance in bytes. None: the server does not tell, or would transcode."""
        if not self._as_stored:
            return None
        answer = self._client.request("HEAD", instance.path, headers=self._headers, accepted=(404, 406))
        length = answer.headers.get("Content-Length", "")
        return int(length) if answer.status_code == 200 and _LENGTH.fullmatch(length) else None

    def download(self, instance: Identifier, target: IO[bytes]) -> int:
        """Write the file of an instance to `target`, from its first byte on. Return its size in bytes.

        A download that breaks is repeated twice. Raises `DownloadFailed` if this instance cannot be retrieved, and a
        `ClientError` if no other one could be either.
        """
        reason = ""
        for _ in range(_TRIES):
            target.seek(0)
            target.truncate()
            try:
                with self._client.stream("GET", instance.path, headers=self._headers) as answer:
                    if answer.status_code != _OK:
                        raise DownloadFailed(f"HTTP {answer.status_code} is no answer with a whole file")
                    return self._copy(answer, target)
            except (CredentialsRefused, RightMissing, PartitionRefused):
                raise
            except Refused as error:
                raise DownloadFailed(f"HTTP {error.status}: {error.text or 'no reason given'}") from error
            except (httpx.TransportError, httpx.DecodingError) as error:
                reason = f"the download breaks: {str(error) or type(error).__name__}"
            except _OtherBytes:
                reason = "the bytes do not have the digest that the server keeps"
        raise DownloadFailed(reason)

    def _copy(self, answer: httpx.Response, target: IO[bytes]) -> int:
        digest, size = hashlib.sha256(), 0
        for piece in answer.iter_bytes(_PIECE_BYTES):
            if self._stopped.is_set():
                raise Stopped
            digest.update(piece)
            size += target.write(piece)
        expected = digest_of(answer.headers)
        if expected not in (None, digest.digest()):
            raise _OtherBytes
        return size


class _OtherBytes(Exception):
    """The bytes do not have the digest of the answer."""
