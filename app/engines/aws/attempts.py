"""Counts attempts of calls to AWS that fail, also those that the SDK repeats with success."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from app.engines.aws.failures import THROTTLED_ACTIONS, THROTTLED_CALLS
from app.metrics import AWS_FAILED_ATTEMPTS

C = TypeVar("C")

_THROTTLED: Final = THROTTLED_ACTIONS | THROTTLED_CALLS | {"SlowDown"}
"""The codes of DynamoDB, and that of S3."""


def counted(client: C) -> C:
    """Return the client. Each of its failed attempts adds to a metric from now on."""
    service = client.meta.service_model.service_name  # type: ignore[attr-defined]  # every client has it

    def count(*, response: Any, caught_exception: Exception | None, **_: Any) -> None:
        reason = "connection" if caught_exception else _reason(*response)
        if reason:
            AWS_FAILED_ATTEMPTS.add(service, reason)

    client.meta.events.register("needs-retry", count)  # type: ignore[attr-defined]
    return client


def _reason(http: Any, parsed: dict[str, Any]) -> str | None:
    """Return why an attempt failed: `throttled` or `server`. None if it succeeded, or if the request is the reason."""
    if http.status_code < 300:
        return None
    codes = {parsed.get("Error", {}).get("Code")}
    codes.update(each.get("Code") for each in parsed.get("CancellationReasons", ()))
    if codes & _THROTTLED:
        return "throttled"
    return "server" if http.status_code >= 500 else None
