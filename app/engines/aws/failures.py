"""Failures of AWS calls: their translation to the errors of app/errors.py, and which calls are repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from app.errors import BlobMissing, Conflict, StorageUnavailable
from app.storage.table.ports import Key
from app.storage.table.retry import RetriesExhausted, Retry

T = TypeVar("T")

RETRY: Final = Retry(attempts=8, first_pause=0.02, longest_pause=1.0)
"""How often a call is made while other transactions use its items. The SDK repeats each call for other reasons too."""

_UNDECIDED: Final = "TransactionInProgressException"
"""An earlier attempt of the same call has not ended. It may still write."""

_CONTENDED: Final = frozenset(
    {
        "TransactionConflict",  # a reason within a cancelled transaction
        "TransactionConflictException",  # the same, of a call that is not a transaction
        _UNDECIDED,
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
    }
)
_NO_OBJECT: Final = frozenset({"NoSuchKey", "404"})
_CANCELLED: Final = "TransactionCanceledException"
_CONDITION_FAILED: Final = "ConditionalCheckFailed"


@contextmanager
def translated() -> Iterator[None]:
    """Raise StorageUnavailable for whatever boto3 raises."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise StorageUnavailable from error


def code(error: ClientError) -> str:
    """Return the name that AWS gives to the error, for example `NoSuchKey`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def read_failure(error: ClientError, key: str) -> BlobMissing | StorageUnavailable:
    """Return what a failed read of the object `key` means for the caller."""
    return BlobMissing(key) if code(error) in _NO_OBJECT else StorageUnavailable()


def unthrottled(call: Callable[[], T]) -> T:
    """Return the answer to `call`. It is repeated while it raises `Contended`. Raises StorageUnavailable in the end."""
    try:
        return RETRY.run(call, on=Contended)
    except RetriesExhausted as exhausted:
        raise StorageUnavailable from exhausted


class Contended(Exception):
    """Other transactions use the items, or AWS throttles. Another attempt may succeed."""


def retried(call: Callable[..., Any], request: dict[str, Any], keys: Sequence[Key] = ()) -> Any:
    """Return the answer to `call`. It is repeated while other transactions use the same items.

    `keys` are the keys of the transaction's actions, in the same order. Raises `Conflict` with the first key whose
    condition failed, and `Conflict(None)` when the other transactions do not end. Raises StorageUnavailable for every
    other failure; the items may have been written then.
    """
    reasons: list[str] = []

    def attempt() -> Any:
        nonlocal reasons
        try:
            return call(**request)
        except ClientError as error:
            reasons = _reasons(error)
            if _CONDITION_FAILED in reasons:
                raise Conflict(keys[reasons.index(_CONDITION_FAILED)]) from error
            if _CONTENDED.isdisjoint(reasons):
                raise StorageUnavailable from error
            raise Contended from error
        except BotoCoreError as error:
            raise StorageUnavailable from error

    try:
        return RETRY.run(attempt, on=Contended)
    except RetriesExhausted as exhausted:
        raise (StorageUnavailable() if _UNDECIDED in reasons else Conflict(None)) from exhausted


def _reasons(error: ClientError) -> list[str]:
    """Return the reason of each action of a cancelled transaction, or the one code of any other error."""
    if code(error) != _CANCELLED:
        return [code(error)]
    reasons: list[dict[str, str]] = error.response.get("CancellationReasons", [])  # type: ignore[assignment]
    return [reason.get("Code", "") for reason in reasons]
