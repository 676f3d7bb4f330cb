"""The start of a bulk update: the checks of the request, and the operation that follows (conformance §12.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from app.dicom.editing.requested_changes import RequestedChanges, read_changes
from app.dicom.encoding.uids import clean_uid
from app.dicom.encoding.vr import tag_text
from app.errors import InvalidField, InvalidRequest
from app.services.operations.runner import announce
from app.storage.operations.operations import Operations
from app.storage.table.partitions import Partition
from app.storage.table.ports import Queue

TYPE: Final = "update"
MAX_STUDIES: Final = 50
MAX_CHANGES_BYTES: Final = 200_000
"""Bytes of all new values as JSON. The item of the operation holds them."""
OPERATIONS_DISABLED: Final = "Asynchronous operations are temporarily disabled. Please try again later."


class ChangesRefused(InvalidRequest):
    """Some attributes cannot be changed as requested. `comments` holds one reason for each tag (conformance §12.2)."""

    def __init__(self, comments: Sequence[str]) -> None:
        self.comments = tuple(comments)
        super().__init__(" ".join(comments))


class BulkUpdate:
    """Starts bulk updates. One runs at a time in the whole service. If not `enabled`, every start is refused."""

    def __init__(self, operations: Operations, queue: Queue, *, enabled: bool = True) -> None:
        self._operations = operations
        self._queue = queue
        self._enabled = enabled

    def start(self, partition: Partition, body: object) -> str:
        """Return the id of the operation that executes the request of a JSON body. Its studies need not exist.

        Raises `InvalidRequest` or `ChangesRefused` and, after all checks, `OperationActive`. The operation and its claim
        to be the only one are one write: a kill -9 leaves both or nothing.
        """
        if not self._enabled:
            raise InvalidRequest(OPERATIONS_DISABLED)
        members = _members(body)
        studies = _studies(members.get("studyinstanceuids"))
        changes = _changes(members.get("changedataset"))
        request = {
            "partition": partition.key,
            "partition_name": partition.name,
            "studies": studies,
            "changes": changes.elements,
        }
        operation = self._operations.start(TYPE, request, exclusive=True)
        announce(self._queue, operation.id)
        return operation.id


def _members(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise InvalidRequest("The syntax of the request body is invalid.")
    return {name.lower(): member for name, member in body.items()}


def _studies(given: object) -> list[str]:
    """Return the UIDs, each once."""
    if given is None or given == []:
        raise _missing("StudyInstanceUids")
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise InvalidField("studyInstanceUids", "It must be an array of strings.")
    if len(given) > MAX_STUDIES:
        raise InvalidRequest(f"StudyInstanceUids count exceeded maximum length '{MAX_STUDIES}'")
    return list(dict.fromkeys(clean_uid(each, "StudyInstanceUid") for each in given))


def _changes(given: object) -> RequestedChanges:
    if given is None or given == {}:
        raise _missing("ChangeDataset")
    if not isinstance(given, Mapping):
        raise InvalidField("changeDataset", "It must be a dataset in DICOM JSON.")
    try:
        changes = read_changes(given)
    except ValueError as error:
        raise InvalidField(f"changeDataset.{error.args[0][:64]}", "It is not a tag of 8 hex digits.") from None
    if changes.refused:
        raise ChangesRefused([f"DICOM100: {tag_text(each.tag)} - {each.reason}" for each in changes.refused])
    if len(orjson.dumps(changes.elements)) > MAX_CHANGES_BYTES:
        raise InvalidField("changeDataset", f"Its values exceed {MAX_CHANGES_BYTES} bytes.")
    return changes


def _missing(name: str) -> InvalidRequest:
    return InvalidRequest(f"The required field '{name}' is missing or empty.")
