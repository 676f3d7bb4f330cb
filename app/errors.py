"""What can go wrong, in the archive's own words. Nothing here knows of HTTP: `web/problems.py` maps it to statuses."""

from __future__ import annotations

IDENTIFIER_RULE = (
    "DICOM Identifier is invalid. Value length should not exceed the maximum length of 64 characters. "
    "Value should contain characters in '0'-'9' and '.'. Each component must start with non-zero number."
)


class BulkheadError(Exception):
    """Base of every error that the archive raises on purpose; `str(error)` is safe to show to the caller."""


# --- the caller's fault -------------------------------------------------------------------------------------------


class InvalidRequest(BulkheadError):
    """The request is malformed or breaks a rule; the message names the value and the rule."""


class InvalidIdentifier(InvalidRequest):
    """A UID in a URL or a body is not a UID (conformance §3.7). `name` is the attribute keyword, e.g. `StudyInstanceUid`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Dicom element '{name}' failed validation for VR 'UI': {IDENTIFIER_RULE}")


class InvalidParameter(InvalidRequest):
    """A query parameter breaks its rule (conformance §1.5): `The query parameter 'Limit' is invalid. {reason}`."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The query parameter '{name}' is invalid. {reason}")


class InvalidField(InvalidRequest):
    """A field of a JSON body breaks its rule (conformance §1.6): `The field 'source' in request body is invalid: {reason}`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"The field '{path}' in request body is invalid: {reason}")


class InvalidQuery(InvalidRequest):
    """A search that cannot be answered (conformance §5.5, table of errors)."""


class PartitionError(InvalidRequest):
    """The partition of the URL is missing, misspelt, unknown or not allowed (conformance §2.4)."""


class UnsupportedContent(BulkheadError):
    """The request's content type is not one this call takes (conformance §3.1)."""


class NotAcceptable(BulkheadError):
    """Nothing the caller accepts can be produced (conformance §1.7, conformance §4.2)."""


class TooLarge(BulkheadError):
    """A body, a part or an instance exceeds its limit, in bytes (conformance §1.8)."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request exceeded the allowed limit of {limit} bytes.")


class DestinationError(InvalidRequest):
    """Base of what is wrong with the place that an export goes to (conformance §11.3)."""


class DestinationRefused(DestinationError):
    """The place does not take what is written, and will not: missing, closed, misnamed; the message says which."""


class DestinationUnavailable(DestinationError):
    """The place did not answer, or with a fault of its own; it may do so later."""


class NotFound(BulkheadError):
    """A study, series, instance or frame is not in the partition (conformance §4.5). `level` is that word."""

    def __init__(self, level: str) -> None:
        self.level = level
        super().__init__(f"The specified {level} cannot be found.")


class InvalidInstance(BulkheadError):
    """Bytes that are not a readable DICOM Part 10 instance. The message says which rule and where, never a value."""


class WorkitemRefused(BulkheadError):
    """Base of what the rules of the worklist refuse (conformance §7.2); the message is literal, for client tests compare it."""


class InvalidWorkitem(WorkitemRefused):
    """The dataset breaks an attribute rule, or the call does not suit the state of the workitem."""


class WorkitemNotFound(WorkitemRefused):
    """The workitem is not in the partition."""

    def __init__(self) -> None:
        super().__init__("The workitem instance is not found.")


class WorkitemConflict(WorkitemRefused):
    """The workitem exists already, or has gone on to a state in which the call cannot be."""


class QueryTagNotFound(BulkheadError):
    """There is no such extended query tag; `path` as the caller typed it (conformance §8.1)."""

    def __init__(self, path: str) -> None:
        super().__init__(f"The specified extended query tag with tag path {path} cannot be found.")


class QueryTagExists(BulkheadError):
    """A tag to be added is defined already, whatever its level."""

    def __init__(self) -> None:
        super().__init__("One or more extended query tags already exist.")


class OperationActive(BulkheadError):
    """An operation of a type that runs one at a time is under way: `id` (32 hex digits), `type` (conformance §9.5)."""

    def __init__(self, operation: str, kind: str) -> None:
        self.id = operation
        self.type = kind
        names = {"reindex": "re-index"}
        super().__init__(f"There is already an active {names.get(kind, kind)} operation with ID '{operation}'.")


# --- the store's fault --------------------------------------------------------------------------------------------


class StorageError(BulkheadError):
    """Base of what the engines raise."""


class Conflict(StorageError):
    """A conditional write lost: nothing of it was written. `key` names the item whose expectation failed.

    `key` is None when the engine only knows that another transaction was under way on one of the items: write again.
    """

    def __init__(self, key: tuple[str, str] | None) -> None:
        self.key = key
        super().__init__("The item was changed by another writer." if key else "The items are being written elsewhere.")


class BlobMissing(StorageError):
    """No object lies under this key."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__("The stored object is missing.")


class StorageUnavailable(StorageError):
    """The data store did not answer, or answered with a fault that is not ours."""

    def __init__(self) -> None:
        super().__init__("The data store operation failed.")


# --- the operator's fault -----------------------------------------------------------------------------------------


class ConfigurationError(BulkheadError):
    """The service cannot start as configured; the message names every setting at fault."""


class DataPartitionsFeatureCannotBeDisabledException(ConfigurationError):
    """Partitions were switched off although there is more than one (conformance §2.3). Named as in Microsoft's service."""

    def __init__(self) -> None:
        super().__init__(
            "DataPartitionsFeatureCannotBeDisabledException: "
            "Data partitions feature cannot be disabled while existing data has already been partitioned."
        )
