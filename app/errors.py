"""Every error that the archive raises on purpose.

Each class declares in one place how it is answered: `status`, `headers` and the message. This module has only numbers
and texts. `web/problems.py` writes the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

INTERNAL: Final = (
    "The server encountered an internal error. Please retry the request. If the issue persists, please contact support."
)
UNAVAILABLE: Final = "The data store operation failed."
OVERLOADED: Final = "The server is overloaded. Please try again later."
IDENTIFIER_RULE: Final = (
    "DICOM Identifier is invalid. Value length should not exceed the maximum length of 64 characters. "
    "Value should contain characters in '0'-'9' and '.'. Each component must start with non-zero number."
)
RETRY_AFTER_SECONDS: Final = 5
"""Seconds after which a caller may try again when the data store failed."""


class BulkheadError(Exception):
    """Base of every error that the archive raises on purpose. A class that declares nothing is answered as its base."""

    status: ClassVar[int] = 500
    """The HTTP status of the answer."""
    public_message: ClassVar[str | None] = INTERNAL
    """The text that the caller gets. None: `str(error)`, which then never quotes a patient's data."""
    headers: Mapping[str, str] = MappingProxyType({})
    """Headers of the answer beside those that every answer has. An instance may set its own."""


# --- faults of the caller -----------------------------------------------------------------------------------------


class InvalidRequest(BulkheadError):
    """The request is malformed or breaks a rule. The message names the value and the rule."""

    status = 400
    public_message = None


class RequestTimeout(InvalidRequest):
    """The client sends the body of its request too slowly (conformance §1.4)."""

    status = 408

    def __init__(self) -> None:
        super().__init__("The request body arrives too slowly.")


class InvalidIdentifier(InvalidRequest):
    """A value in a URL or a body is not a UID (conformance §3.7). `name` is a keyword such as `StudyInstanceUid`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Dicom element '{name}' failed validation for VR 'UI': {IDENTIFIER_RULE}")


class InvalidParameter(InvalidRequest):
    """A query parameter breaks its rule (conformance §1.5)."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The query parameter '{name}' is invalid. {reason}")


class InvalidField(InvalidRequest):
    """A field of a JSON body breaks its rule (conformance §1.6). `path` leads to it, e.g. `source.settings.values`."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"The field '{path}' in request body is invalid: {reason}")


class InvalidQuery(InvalidRequest):
    """A search breaks a rule of searches (conformance §5.5)."""


class PartitionError(InvalidRequest):
    """The partition of the URL is missing, misspelt, unknown or not allowed (conformance §2.4)."""


class Unauthenticated(BulkheadError):
    """Base of the refusals of a request whose caller is not known (conformance §13.1)."""

    status = 401
    public_message = None


class NoCredentials(Unauthenticated):
    """The request has no credentials."""

    def __init__(self) -> None:
        super().__init__("The request has no credentials.")


class InvalidCredentials(Unauthenticated):
    """The credentials are not valid. The message never says which check failed, beyond that they expired."""

    def __init__(self, *, expired: bool = False) -> None:
        super().__init__("The credentials have expired." if expired else "The credentials are invalid.")


class IssuerUnavailable(BulkheadError):
    """The keys of an issuer of JWTs cannot be read, so nobody can say whether a JWT is valid (conformance §13.1)."""

    status = 503
    public_message = None
    headers = MappingProxyType({"Retry-After": str(RETRY_AFTER_SECONDS)})

    def __init__(self) -> None:
        super().__init__("The keys of the issuer of the credentials cannot be read.")


class AuthorizationFailed(BulkheadError):
    """The caller is known and has no right to make the call (conformance §13.4)."""

    status = 403
    public_message = None

    def __init__(self) -> None:
        super().__init__("Authorization failed.")


class ForeignPage(BulkheadError):
    """A web page of another origin makes a browser send the request (conformance §15.2)."""

    status = 403
    public_message = None

    def __init__(self) -> None:
        super().__init__("The request comes from a web page of another origin. BULKHEAD_CORS_ORIGINS may allow it.")


class SignInFailed(BulkheadError):
    """The sign-in of a person with OpenID Connect cannot be completed (conformance §15.2)."""

    status = 401
    public_message = None


class FormExpired(BulkheadError):
    """A form does not have the token of the session of its caller (conformance §15.2)."""

    status = 403
    public_message = None

    def __init__(self) -> None:
        super().__init__("The form is too old, or it is not from this site. Load the page again and repeat the action.")


class OperationsDisabled(InvalidRequest):
    """The operator does not let clients start operations (conformance §1.9)."""

    def __init__(self) -> None:
        super().__init__("Asynchronous operations are temporarily disabled. Please try again later.")


class ResourceDisabled(BulkheadError):
    """The operator switched the resource off. The answer has no text, as if the resource did not exist."""

    status = 404
    public_message = ""


class UnsupportedContent(BulkheadError):
    """The route does not read the content type or the content encoding of the request (conformance §3.1)."""

    status = 415
    public_message = None


class RangeNotSatisfiable(BulkheadError):
    """The requested byte range contains no byte of the content (conformance §4.4, RFC 9110 §15.5.17)."""

    status = 416
    public_message = None

    def __init__(self, size: int) -> None:
        super().__init__("The requested range is not satisfiable.")
        self.headers = {"Accept-Ranges": "bytes", "Content-Range": f"bytes */{size}"}


class UnsupportedCoding(UnsupportedContent):
    """The service does not decode the content coding of the request body (conformance §1.12)."""

    headers = MappingProxyType({"Accept-Encoding": "gzip, zstd"})


class NotAcceptable(BulkheadError):
    """The route cannot make any representation that the caller accepts (conformance §1.7, §4.2)."""

    status = 406
    public_message = None


class ImageFailure(NotAcceptable):
    """An image, or another object, cannot be decoded or shown. The message says why (conformance §4.10)."""


class DecoderUnavailable(BulkheadError):
    """No process is free to decode a frame, or none can be started. The caller may try again (conformance §4.12)."""

    status = 503
    public_message = None
    headers = MappingProxyType({"Retry-After": str(RETRY_AFTER_SECONDS)})


class TooLarge(BulkheadError):
    """A body, a part of it or an instance exceeds its limit, in bytes (conformance §1.8)."""

    status = 413
    public_message = None

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request exceeded the allowed limit of {limit} bytes.")


class DestinationError(InvalidRequest):
    """Base of the faults of an export's destination (conformance §11.3)."""


class DestinationRefused(DestinationError):
    """The destination does not take the files: it is missing, closed or misnamed. A retry does not help."""


class DestinationUnavailable(DestinationError):
    """The destination did not answer, or answered with a fault of its own. A retry may help."""


class NotFound(BulkheadError):
    """A study, a series, an instance or a frame is not in the partition (conformance §4.5). `level` is that word."""

    status = 404
    public_message = None

    def __init__(self, level: str) -> None:
        self.level = level
        super().__init__(f"The specified {level} cannot be found.")


class InvalidInstance(BulkheadError):
    """Bytes are not a readable DICOM Part 10 instance. The message says which rule and where, never a value.

    `elements` are the elements that were read before the error, the UIDs of the instance perhaps among them.
    """

    status = 400
    public_message = None
    elements: tuple[Any, ...] = ()


class WorkitemRefused(BulkheadError):
    """Base of the refusals of the worklist (conformance §7.2). Clients compare the messages."""

    status = 400
    public_message = None


class InvalidWorkitem(WorkitemRefused):
    """The dataset breaks an attribute rule, or the state of the workitem does not allow the call."""


class WorkitemNotFound(WorkitemRefused):
    """The workitem is not in the partition."""

    status = 404

    def __init__(self) -> None:
        super().__init__("The workitem instance is not found.")


class WorkitemConflict(WorkitemRefused):
    """The workitem exists already, or it has reached a state that does not allow the call."""

    status = 409


class QueryTagNotFound(BulkheadError):
    """There is no such extended query tag. `path` is as the caller typed it (conformance §8.1)."""

    status = 404
    public_message = None

    def __init__(self, path: str) -> None:
        super().__init__(f"The specified extended query tag with tag path {path} cannot be found.")


class TokenNotFound(BulkheadError):
    """No token has this id (conformance §13.6). `token` is as the caller typed it."""

    status = 404
    public_message = None

    def __init__(self, token: str) -> None:
        super().__init__(f"The specified token with ID '{token}' cannot be found.")


class GrantNotFound(BulkheadError):
    """No stored grant has this id (conformance §13.6). `grant` is as the caller typed it."""

    status = 404
    public_message = None

    def __init__(self, grant: str) -> None:
        super().__init__(f"The specified grant with ID '{grant}' cannot be found.")


class QueryTagExists(BulkheadError):
    """A tag to be added is defined already, at any level."""

    status = 409
    public_message = None

    def __init__(self) -> None:
        super().__init__("One or more extended query tags already exist.")


class OperationActive(BulkheadError):
    """Another operation runs, of a type that runs one at a time (conformance §9.5).

    `id` has 32 hex digits. It is empty if the caller may not see the operation.
    """

    status = 409
    public_message = None

    def __init__(self, operation: str, kind: str) -> None:
        self.id = operation
        self.type = kind
        names = {"reindex": "re-index"}
        named = f" with ID '{operation}'" if operation else ""
        super().__init__(f"There is already an active {names.get(kind, kind)} operation{named}.")


# --- faults of the data store -------------------------------------------------------------------------------------


class StorageError(BulkheadError):
    """Base of what the engines raise. The caller may try again."""

    status = 503
    public_message: ClassVar[str | None] = UNAVAILABLE
    headers = MappingProxyType({"Retry-After": str(RETRY_AFTER_SECONDS)})


class ChangeFeedBusy(StorageError):
    """A process has not yet read enough of the change feed to answer. It continues with the next request (conformance
    §10.2)."""

    public_message = None

    def __init__(self) -> None:
        super().__init__("The change feed is being read. Please try again later.")


class Conflict(StorageError):
    """A conditional write failed, and nothing of it was written. `key` names the item whose condition failed.

    `key` is None when the engine only knows that another transaction wrote one of the items: the write can be repeated.
    """

    def __init__(self, key: tuple[str, str] | None) -> None:
        self.key = key
        super().__init__("The item was changed by another writer." if key else "The items are being written elsewhere.")


class BlobMissing(StorageError):
    """The bucket has no object under this key.

    An index row that was read before names the object. The instance was deleted in the meantime, so the answer is 404.
    """

    status = 404
    public_message = "The specified instance cannot be found."
    headers = MappingProxyType({})

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__("The stored object is missing.")


class LostData(StorageError):
    """The index names an object of an instance, but the data store does not have it. The message names both."""

    public_message = None

    def __init__(self, lost: str, study: str, series: str, instance: str) -> None:
        super().__init__(f"The {lost} of the instance {study}/{series}/{instance} is lost.")


class StorageUnavailable(StorageError):
    """The data store did not answer, or it answered with a fault of its own."""

    def __init__(self) -> None:
        super().__init__(UNAVAILABLE)


class Throttled(StorageUnavailable):
    """The data store gets more calls than it accepts. It did nothing of this call, so the same call can be repeated."""


class AuditUnavailable(BulkheadError):
    """A line of the audit trail cannot be written, so the call is not carried out (conformance §13.5)."""

    status = 503
    public_message = None
    headers = MappingProxyType({"Retry-After": str(RETRY_AFTER_SECONDS)})

    def __init__(self) -> None:
        super().__init__("The audit trail cannot be written.")


# --- faults of the operator ---------------------------------------------------------------------------------------


class ConfigurationError(BulkheadError):
    """The service cannot start as configured. The message names every setting at fault."""


class DataPartitionsFeatureCannotBeDisabledException(ConfigurationError):
    """Partitions are switched off, but more than one exists (conformance §2.3). Microsoft's service has this name."""

    def __init__(self) -> None:
        super().__init__(
            "DataPartitionsFeatureCannotBeDisabledException: "
            "Data partitions feature cannot be disabled while existing data has already been partitioned."
        )


class RecoveryError(BulkheadError):
    """A backup, a restore or a migration cannot go on. The message says why, and what to do."""


class BackupRuns(RecoveryError):
    """Another backup of the same data folder, or into the same backup folder, is running."""

    def __init__(self) -> None:
        super().__init__("Another backup of the same archive, or into the same folder, is running. Wait for its end.")
