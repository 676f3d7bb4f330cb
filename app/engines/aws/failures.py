"""Failures of AWS calls: their translation to the errors of app/errors.py, and which calls are repeated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from app.errors import BlobMissing, Conflict, StorageUnavailable, Throttled
from app.storage.table.ports import Key
from app.storage.table.retry import RetriesExhausted, Retry

T = TypeVar("T")

CONTENTION: Final = Retry(attempts=8, first_pause=0.02, longest_pause=1.0)
"""How often a call is made while other transactions use its items. The SDK repeats each call for other reasons too."""

WAITING_CALLS: Final = 4
"""Calls of a process that wait at the same time until DynamoDB accepts them. Any other throttled call fails at once.

So a few hot keys do not occupy all threads, and the load on them falls.
"""

_UNDECIDED: Final = "TransactionInProgressException"
"""An earlier attempt of the same call has not ended. It may still write."""

_CONTENDED: Final = frozenset(
    {
        "TransactionConflict",  # a reason within a cancelled transaction
        "TransactionConflictException",  # the same, of a call that is not a transaction
        _UNDECIDED,
    }
)
THROTTLED_ACTIONS: Final = frozenset({"ThrottlingError", "ProvisionedThroughputExceeded"})
"""Reasons within a cancelled transaction. The SDK does not repeat it."""

THROTTLED_CALLS: Final = frozenset(
    {"ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"}
)
"""Errors of a whole call. The SDK has repeated it already, with pauses."""

_NO_OBJECT: Final = frozenset({"NoSuchKey", "404"})
_CANCELLED: Final = "TransactionCanceledException"
_CONDITION_FAILED: Final = "ConditionalCheckFailed"

_waiting: Final = BoundedSemaphore(WAITING_CALLS)


class Contended(Exception):
    """Other transactions use the items. Another attempt may succeed."""


class ThrottledPart(Throttled):
    """DynamoDB accepts no more for an action of a transaction or for keys of a batch. The SDK does not repeat these."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise `Throttled` or StorageUnavailable for whatever boto3 raises."""
    try:
        yield
    except ClientError as error:
        raise failure(error) from error
    except BotoCoreError as error:
        raise StorageUnavailable from error


def code(error: ClientError) -> str:
    """Return the name that AWS gives to the error, for example `NoSuchKey`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def failure(error: ClientError) -> StorageUnavailable:
    """Return what an error of AWS means for a caller that expected none."""
    return Throttled() if code(error) in THROTTLED_CALLS else StorageUnavailable()


def read_failure(error: ClientError, key: str) -> BlobMissing | StorageUnavailable:
    """Return what a failed read of the object `key` means for the caller."""
    return BlobMissing(key) if code(error) in _NO_OBJECT else StorageUnavailable()


def unthrottled(call: Callable[[], T]) -> T:
    """Return the result of `call`. It is repeated while it raises `ThrottledPart`. Raises `Throttled` in the end.

    Every attempt is the same call. Nothing else is read or written in between, so the repetition costs no other key.
    Raises `Throttled` at once when enough other calls of the process wait.
    """
    try:
        return THROTTLE.run(call, on=ThrottledPart)
    except RetriesExhausted as exhausted:
        raise Throttled from exhausted


def _sleep_in_turn(seconds: float) -> None:
    if not _waiting.acquire(blocking=False):
        raise Throttled
    try:
        time.sleep(seconds)
    finally:
        _waiting.release()


THROTTLE: Final = Retry(attempts=6, first_pause=0.2, longest_pause=5.0, sleep=_sleep_in_turn)
"""How often a call is made that DynamoDB throttles. A key recovers in seconds, so the pauses are longer."""


def retried(call: Callable[..., Any], request: dict[str, Any], keys: Sequence[Key] = ()) -> Any:
    """Return the answer to `call`. It is repeated while other transactions use the same items, or AWS throttles it.

    `keys` are the keys of the transaction's actions, in the same order. Raises `Conflict` with the first key whose
    condition failed, and `Conflict(None)` when the other transactions do not end: nothing was written then. Raises
    `Throttled` when AWS accepts none of the attempts. Raises StorageUnavailable for every other failure; the items may
    have been written then.
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
            if not _CONTENDED.isdisjoint(reasons):
                raise Contended from error
            if not THROTTLED_ACTIONS.isdisjoint(reasons):
                raise ThrottledPart from error
            raise failure(error) from error
        except BotoCoreError as error:
            raise StorageUnavailable from error

    try:
        return CONTENTION.run(lambda: unthrottled(attempt), on=Contended)
    except RetriesExhausted as exhausted:
        raise (StorageUnavailable() if _UNDECIDED in reasons else Conflict(None)) from exhausted


def _reasons(error: ClientError) -> list[str]:
    """Return the reason of each action of a cancelled transaction, or the one code of any other error."""
    if code(error) != _CANCELLED:
        return [code(error)]
    reasons: list[dict[str, str]] = error.response.get("CancellationReasons", [])  # type: ignore[assignment]
    return [reason.get("Code", "") for reason in reasons]
