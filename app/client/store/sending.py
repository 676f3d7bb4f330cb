"""Sending files to the server: several small ones in a request, a large one alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from threading import Event
from typing import Final

from app.client.answers import digest_of
from app.client.connection import DICOM_JSON, ArchiveClient, Body
from app.client.errors import CredentialsRefused, PartitionRefused, Refused, RightMissing, UnexpectedAnswer
from app.client.store.contents import SourceChanged, Uids
from app.client.store.found import DicomFile
from app.client.store.outcomes import EXISTS, TRY_AGAIN, Failure, Outcome, Result, StoreAnswer

BATCH_BYTES: Final = 8 << 20
BATCH_FILES: Final = 32
_ASK_BYTES: Final = 64 << 20
_TRIES: Final = 3
_STOW: Final = (409, 200, 202, 204)
_NO_DIGEST: Final = (400, 403, 404, 406, 429, 500, 502, 503, 504)
"""Statuses of a HEAD that tells no digest: no such partition or instance, no right to read, a failure."""
_FOR_ALL: Final = (CredentialsRefused, RightMissing, PartitionRefused)
"""Refusals that hold for every further request."""


class Stopped(Exception):
    """The run was interrupted while this file was sent."""


class Sender:
    """Stores batches of files in the partition of `client`. Threads may share it. `stopped` interrupts large files."""

    def __init__(self, client: ArchiveClient, stopped: Event) -> None:
        self._client = client
        self._stopped = stopped

    def send(self, batch: Sequence[DicomFile]) -> list[Outcome]:
        """Return what became of each file of a batch. One file never hides another.

        Raises a `ClientError` if no other file could be stored either: the server does not answer, or it refuses the
        caller or the partition.
        """
        try:
            outcomes = [self._alone(batch[0])] if len(batch) == 1 else self._together(batch)
        finally:
            for each in batch:
                each.content.close()
        return outcomes

    def _together(self, batch: Sequence[DicomFile]) -> list[Outcome]:
        """Store several small files in one request. What its answer does not tell is asked for one by one."""
        contents: list[bytes | SourceChanged] = [_read(each) for each in batch]
        good = [(file, data) for file, data in zip(batch, contents, strict=True) if isinstance(data, bytes)]
        bad = [(file, data) for file, data in zip(batch, contents, strict=True) if isinstance(data, SourceChanged)]
        outcomes = [Outcome(file, Result.REFUSED, str(error)) for file, error in bad]
        files = [file for file, _ in good]
        try:
            answer = self._post_related([data for _, data in good]) if good else None
        except _FOR_ALL:
            raise
        except Refused:
            return outcomes + [self._alone(each) for each in files]
        if answer is None:
            return outcomes
        uids = [each.content.uids() for each in files] if answer.failed else [None] * len(files)
        found = answer.of_each([each.instance if each else None for each in uids])
        return outcomes + [
            self._alone(file) if each is None or _is_temporary(each) else self._outcome(file, each)
            for file, each in zip(files, found, strict=True)
        ]

    def _alone(self, file: DicomFile) -> Outcome:
        """Store one file, streamed. The server is asked before whether it has the bytes of a very large one."""
        if file.content.size > _ASK_BYTES and self._is_stored(file):
            return Outcome(file, Result.ALREADY_STORED)
        for attempt in range(_TRIES):
            try:
                answer = self._post_one(file)
            except _FOR_ALL:
                raise
            except Refused as error:
                return Outcome(file, Result.REFUSED, f"HTTP {error.status}: {error.text or 'no reason given'}")
            except SourceChanged as error:
                return Outcome(file, Result.REFUSED, str(error))
            found = answer.failed[0] if answer.failed else next(answer.of_each([None]), None)
            if not _is_temporary(found) or attempt == _TRIES - 1:
                break
        return self._outcome(file, found)

    def _outcome(self, file: DicomFile, found: Result | Failure | None) -> Outcome:
        match found:
            case Result():
                return Outcome(file, found)
            case Failure(code=code) if code == EXISTS:
                return self._existing(file, found)
            case Failure():
                return Outcome(file, Result.REFUSED, found.reason)
        return Outcome(file, Result.REFUSED, "The answer of the server does not name the file.")

    def _existing(self, file: DicomFile, failure: Failure) -> Outcome:
        """Return the outcome of a file whose instance exists: it depends on the bytes that the server has."""
        is_same = self._is_stored(file)
        if is_same is None:
            return Outcome(file, Result.NOT_COMPARED)
        if is_same:
            return Outcome(file, Result.ALREADY_STORED)
        return Outcome(file, Result.REFUSED, f"{failure.code}: the instance exists with other content")

    def _is_stored(self, file: DicomFile) -> bool | None:
        """Tell whether the server has these bytes, by the digest that it keeps (conformance §3.11).

        None: it has no such instance, or it does not tell, or the file cannot be read any more.
        """
        try:
            uids = file.content.uids()
            stored = self._stored_digests(uids) if uids and file.content.is_whole_file() else iter(())
            is_same = None
            for digest in stored:
                is_same = digest == file.content.digest()
                if is_same:
                    break
        except (SourceChanged, OSError):
            return None
        return is_same

    def _stored_digests(self, uids: Uids) -> Iterator[bytes]:
        """Yield the digests of the file of an instance: as it is now, and as it was first stored (conformance §4.9)."""
        path = f"/studies/{uids.study}/series/{uids.series}/instances/{uids.instance}"
        for original in ("false", "true"):
            headers = {"Accept": "application/dicom; transfer-syntax=*", "msdicom-request-original": original}
            answer = self._client.request("HEAD", path, headers=headers, accepted=_NO_DIGEST)
            digest = digest_of(answer.headers)
            if answer.status_code != 200 or digest is None:
                return
            yield digest

    def _post_related(self, contents: Sequence[bytes]) -> StoreAnswer:
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = b"".join(piece for data in contents for piece in (head, data, b"\r\n")) + f"--{boundary}--\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        return self._answer(kind, len(body), body)

    def _post_one(self, file: DicomFile) -> StoreAnswer:
        return self._answer("application/dicom", file.content.size, lambda: self._pieces(file))

    def _answer(self, kind: str, size: int, body: Body) -> StoreAnswer:
        headers = {"Content-Type": kind, "Content-Length": str(size), "Accept": DICOM_JSON}
        answer = self._client.request("POST", "/studies", body=body, headers=headers, accepted=_STOW, repeatable=True)
        try:
            return StoreAnswer(self._client.decoded(answer) if answer.content else {})
        except (AttributeError, TypeError, ValueError) as error:
            raise UnexpectedAnswer(f"The answer of {self._client.url} is none to a store.") from error

    def _pieces(self, file: DicomFile) -> Iterator[bytes]:
        for piece in file.content.pieces():
            if self._stopped.is_set():
                raise Stopped
            yield piece


def _read(file: DicomFile) -> bytes | SourceChanged:
    try:
        return b"".join(file.content.pieces())
    except SourceChanged as error:
        return error


def _is_temporary(found: Result | Failure | None) -> bool:
    return isinstance(found, Failure) and found.code == TRY_AGAIN
