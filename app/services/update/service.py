"""The start of a bulk update: the checks of the request, and the operation that follows (conformance §12.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.dicom.editing.requested_changes import RequestedChanges, read_changes
from app.dicom.encoding.uids import clean_uid
from app.dicom.encoding.vr import tag_text
from app.errors import InvalidField, InvalidRequest, OperationActive
from app.services.access.caller import Caller
from app.services.operations.directory import refusal
from app.services.operations.runner import announce
from app.storage.operations.operations import Operations
from app.storage.table.partitions import Partition
from app.storage.table.ports import Queue

TYPE: Final = "update"
MAX_STUDIES: Final = 50
MAX_CHANGES_BYTES: Final = 200_000
"""Bytes of all new values as JSON. The item of the operation holds them."""


class ChangesRefused(InvalidRequest):
    """Some attributes cannot be changed as requested. `comments` holds one reason for each tag (conformance §12.2)."""

    def __init__(self, comments: Sequence[str]) -> None:
        self.comments = tuple(comments)
        super().__init__(" ".join(comments))


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRequest:
    """What a client wants to change: Study Instance UIDs as it wrote them, and the new values as DICOM JSON."""

    studies: Sequence[str]
    changes: Mapping[str, Any]


class BulkUpdate:
    """Starts bulk updates. One runs at a time in the whole service."""

    def __init__(self, operations: Operations, queue: Queue) -> None:
        self._operations = operations
        self._queue = queue

    def start(self, caller: Caller, partition: Partition, request: UpdateRequest) -> str:
        """Return the id of the operation that makes the requested changes. Its studies need not exist.

        Raises `InvalidRequest` or `ChangesRefused` and, after all checks, `OperationActive`. The operation and its
        claim to be the only one are one write: a kill -9 leaves both or nothing.
        """
        studies = _studies(request.studies)
        changes = _changes(request.changes)
        parameters = {
            "partition": partition.key,
            "partition_name": partition.name,
            "studies": studies,
            "changes": changes.elements,
        }
        try:
            operation = self._operations.start(
                TYPE, parameters, exclusive=True, started_by=caller.identity, partition=partition.name
            )
        except OperationActive as active:
            raise refusal(active, self._operations, caller) from None
        announce(self._queue, operation.id)
        return operation.id


def _studies(given: Sequence[str]) -> list[str]:
    """Return the UIDs, each once."""
    if len(given) > MAX_STUDIES:
        raise InvalidRequest(f"StudyInstanceUids count exceeded maximum length '{MAX_STUDIES}'")
    return list(dict.fromkeys(clean_uid(each, "StudyInstanceUid") for each in given))


def _changes(given: Mapping[str, Any]) -> RequestedChanges:
    try:
        changes = read_changes(given)
    except ValueError as error:
        raise InvalidField(f"changeDataset.{error.args[0][:64]}", "It is not a tag of 8 hex digits.") from None
    if changes.refused:
        raise ChangesRefused([f"DICOM100: {tag_text(each.tag)} - {each.reason}" for each in changes.refused])
    if len(orjson.dumps(changes.elements)) > MAX_CHANGES_BYTES:
        raise InvalidField("changeDataset", f"Its values exceed {MAX_CHANGES_BYTES} bytes.")
    return changes
