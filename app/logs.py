"""One format for all log lines of the service and of its libraries: structlog on top of the standard logging.

The log contains the classes, the codes and the traceback of an error. It does not contain the message of an error,
because a message may quote the data of a patient.

Every line that is written for a request has the `request_id`, also on other threads and in the worker. It is in the
context of the thread (structlog.contextvars).
"""

from __future__ import annotations

import errno
import logging
import sys
import traceback
from collections.abc import Iterator
from typing import Any, Final

import structlog

MINIMUM_LEVELS: Final = {
    "gunicorn": logging.INFO,
    **dict.fromkeys(("boto3", "botocore", "s3transfer", "urllib3", "pydicom", "httpx", "httpcore"), logging.WARNING),
    "pynetdicom": logging.CRITICAL,  # its errors quote what peers send; app.gateway logs what matters
}
"""The lowest level of each library. Their lines of lower levels contain paths, headers and values."""


def configure(level: str, form: str) -> None:
    """Send every log line of this process to standard error. Another call replaces the configuration.

    `level` and `form` are the values of `BULKHEAD_LOG_LEVEL` and `BULKHEAD_LOG_FORMAT`.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _describe_error, *_rendering(form)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, minimum in MINIMUM_LEVELS.items():
        logging.getLogger(name).setLevel(max(minimum, root.level))


def request_id() -> str:
    """Return the id of the request that this thread works for, empty outside of requests."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


def described(error: BaseException) -> dict[str, Any]:
    """Return what may be logged of an error: `error`, the classes of the error and of its causes, and `traceback`."""
    return {
        "error": [_name_of(each) for each in _chain(error)],
        "traceback": "".join(traceback.format_tb(error.__traceback__)),
    }


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _name_of(error: BaseException) -> str:
    """Return the class of an error, and its code if the operating system, SQLite or AWS gave it one."""
    answer = getattr(error, "response", None)
    aws_code = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
    number = errno.errorcode.get(error.errno or 0) if isinstance(error, OSError) else None
    code = aws_code or getattr(error, "sqlite_errorname", None) or number
    return f"{type(error).__qualname__} {code}" if code else type(error).__qualname__


def _describe_error(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    given = event.pop("exc_info", None)
    if given:
        error = (
            given if isinstance(given, BaseException) else (given if isinstance(given, tuple) else sys.exc_info())[1]
        )
        event.update(described(error) if error else {})
    return event


def _rendering(form: str) -> list[structlog.typing.Processor]:
    if form == "console":
        return [_show_traceback, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [structlog.processors.JSONRenderer()]


def _show_traceback(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if "traceback" in event:
        event["exception"] = event.pop("traceback").rstrip()
    return event
