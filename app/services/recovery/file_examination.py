"""The examination of stored files: what a store would put into the index for them (`services/store/examination`)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.dicom.json.model import Inline
from app.dicom.validation.attributes import ExtendedAttributes
from app.errors import BlobMissing
from app.services.digest import FileDigest
from app.services.policy import Policy
from app.services.store.examination import ExaminedInstance, examine
from app.services.store.report import FailedInstance
from app.services.store.spool import receive
from app.storage.index.plan import NewInstance
from app.storage.records.leftovers import InstanceVersion
from app.storage.table.ports import BlobStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ExaminedFile:
    """A stored file, and what the index keeps of it. `size` is in bytes, `digest` as in `FileVersion`."""

    version: InstanceVersion
    examined: ExaminedInstance
    size: int
    digest: str

    def new_instance(self) -> NewInstance:
        """Return what the index stores of it."""
        return self.examined.new_instance(self.version, size=self.size, digest=self.digest)


@dataclass(frozen=True, slots=True)
class UnreadableFile:
    """A stored file that cannot be indexed. `reason` is a sentence without values of the file."""

    version: InstanceVersion
    reason: str


class FileExamination:
    """Reads and examines stored files.

    `policies` are the rules of the API versions that may have stored the files: the first one that accepts a file
    counts. `extended` returns the extended query tags.
    """

    def __init__(
        self,
        blobs: BlobStore,
        *,
        policies: Sequence[Policy],
        extended: Callable[[], ExtendedAttributes],
        inline: Inline,
        spool: Path | None,
    ) -> None:
        self._blobs = blobs
        self._policies = policies
        self._extended = extended
        self._inline = inline
        self._spool = spool

    def __call__(self, version: InstanceVersion) -> ExaminedFile | UnreadableFile:
        """Return what the index keeps of a file. The whole file is read once, for its digest."""
        try:
            with (
                self._blobs.open(version.blob) as stream,
                receive(stream, sys.maxsize, self._spool, FileDigest()) as body,
            ):
                examined = self._examine(body.buffer)
                if isinstance(examined, FailedInstance):
                    return UnreadableFile(version, "It is no DICOM file that a store accepts.")
                if (examined.study, examined.series, examined.instance) != (
                    version.study,
                    version.series,
                    version.instance,
                ):
                    return UnreadableFile(version, "It has other UIDs than its key.")
                return ExaminedFile(version=version, examined=examined, size=body.size, digest=body.digest)
        except BlobMissing:
            return UnreadableFile(version, "It was removed in the meantime.")

    def _examine(self, data: object) -> ExaminedInstance | FailedInstance:
        extended = self._extended()
        found: ExaminedInstance | FailedInstance | None = None
        for policy in self._policies:
            found = examine(
                data,  # type: ignore[arg-type]  # the buffer of a received body
                None,
                policy,
                extended,
                full=False,
                folder=self._spool,
                inline=self._inline,
            )
            if isinstance(found, ExaminedInstance):
                return found
        assert found is not None  # noqa: S101 - there is a policy
        return found
