"""The audit lines of a call: one before the action, one after the answer is decided (conformance §13.5).

A call that is turned away before it has a route, or by its Content-Type, has no line. A call without valid credentials
or without a right has one line, `denied`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import structlog
from flask import Request, Response, g, request

from app import logs
from app.dicom.encoding.uids import PADDING, is_uid
from app.errors import AuditUnavailable, InvalidRequest
from app.services.audit.call import AuditedCall, named_caller
from app.services.audit.trail import PARTITION_CREATE, AuditTrail
from app.storage.table.partitions import Partition, is_name

HEADER_PREFIX: Final = "X-MS-AZUREDICOM-AUDIT-"
MAX_HEADERS: Final = 10
MAX_HEADER_LENGTH: Final = 2048
TOO_MANY: Final = (
    "The maximum number of custom audit headers allowed is 10. The number of custom audit headers supplied is {count}."
)
TOO_LONG: Final = (
    "The maximum length of a custom audit header value is 2048. "
    "The supplied custom audit header '{name}' has length of {length}."
)

_VARIABLE: Final = "HTTP_" + HEADER_PREFIX.replace("-", "_")
"""The beginning of the names of these headers in the WSGI environment."""
_CREATED: Final = 201

_log = structlog.get_logger("bulkhead.audit")


def note_call(event: str | None, values: Mapping[str, Any]) -> AuditedCall:
    """Return the record of the call, which the handler completes. `values` are the path parameters.

    An `event` of None is not audited: then no line is written.
    """
    call = _described(event or "", values)
    if event:
        g.audited_call = call
    return call


def record_executing(trail: AuditTrail, call: AuditedCall, partition: str | None) -> None:
    """Write the line before the action. `partition` is the name of the partition of the call, if it has one.

    Raises `InvalidRequest` for custom headers beyond their limits, `AuditUnavailable` if the line cannot be written.
    """
    if not call.event:
        return
    call.partition = partition or ""
    call.headers = custom_headers(request)
    _write_executing(trail, call)


def record_created(trail: AuditTrail, call: AuditedCall, partition: Partition) -> None:
    """Write the line of a partition that the call created. Raises `AuditUnavailable`.

    A kill -9 before leaves a partition without this line. The first line of the call names it all the same.
    """
    created = AuditedCall(
        event=PARTITION_CREATE,
        caller=call.caller,
        address=call.address,
        partition=partition.name,
        request_id=call.request_id,
        headers=call.headers,
    )
    trail.executed(created, _CREATED)


def record_executed(trail: AuditTrail, response: Response) -> None:
    """Write the line after the answer is decided. If it cannot be written, the log gets an error and the answer stays.

    The action is over then, and its first line is written: only its outcome is unknown.
    """
    call, status = g.pop("audited_call", None), response.status_code
    try:
        if call is None:
            if status in (401, 403):
                trail.denied(_described("", request.view_args or {}), status)
        elif status == 401:  # a sign-in that failed
            trail.denied(call, status)
        elif g.get("is_executing"):
            trail.executed(call, status)
        elif status == 403:
            call.headers = _headers_within_limits()
            trail.denied(call, status)
        elif status != 415:
            call.headers = _headers_within_limits()
            _write_executing(trail, call)
            trail.executed(call, status)
    except AuditUnavailable as error:
        _log.error("audit line lost", request_id=g.request_id, status=status, **logs.described(error))


def custom_headers(request: Request) -> dict[str, str]:
    """Return the headers that the caller adds to the audit lines. Raises `InvalidRequest` beyond their limits."""
    given = {
        name.removeprefix("HTTP_").replace("_", "-"): value
        for name, value in request.environ.items()
        if name.startswith(_VARIABLE)
    }
    if len(given) > MAX_HEADERS:
        raise InvalidRequest(TOO_MANY.format(count=len(given)))
    for name, value in given.items():
        if len(value) > MAX_HEADER_LENGTH:
            raise InvalidRequest(TOO_LONG.format(name=name, length=len(value)))
    return given


def _described(event: str, values: Mapping[str, Any]) -> AuditedCall:
    """Return what the request itself says about the call. A value of the path counts only if it has the right form."""
    partition, study = values.get("partition", ""), _uid(values, "study")
    return AuditedCall(
        event=event,
        caller=named_caller(g.caller),
        address=request.remote_addr or "",
        partition=partition if is_name(partition) else "",
        studies=(study,) if study else (),
        series=_uid(values, "series"),
        instance=_uid(values, "instance"),
        workitem=_uid(values, "workitem"),
        request_id=g.request_id,
    )


def _uid(values: Mapping[str, Any], name: str) -> str:
    text: str = values.get(name, "").rstrip(PADDING)
    return text if is_uid(text) else ""


def _headers_within_limits() -> dict[str, str]:
    with suppress(InvalidRequest):
        return custom_headers(request)
    return {}


def _write_executing(trail: AuditTrail, call: AuditedCall) -> None:
    trail.executing(call)
    g.is_executing = True
