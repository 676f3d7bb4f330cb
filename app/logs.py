"""One form for every log line, of this service and of the libraries under it: structlog over the standard logging.

What is said of an error is its classes, codes and places. Its message is not: it may quote a patient's data.
"""

from __future__ import annotations

import errno
import logging
import sys
import traceback
from collections.abc import Iterator
from typing import Any, Final

import structlog

LEAST: Final = {
    "gunicorn": logging.INFO,
    **dict.fromkeys(("boto3", "botocore", "s3transfer", "urllib3", "pydicom"), logging.WARNING),
}
"""Libraries whose lesser lines name paths, headers and values: they never log below this."""


def configure(level: str, form: str) -> None:
    """Send every log line of this process to standard error; `level` and `form` as `BULKHEAD_LOG_LEVEL` and `_FORMAT`.

    Calling again replaces what was set up before.
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
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _errors, *_rendering(form)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in LEAST.items():
        logging.getLogger(name).setLevel(max(least, root.level))


def described(error: BaseException) -> dict[str, Any]:
    """Return what may be logged of an error: `error`, its classes and those of its causes; `traceback`."""
    return {
        "error": [_named(each) for each in _chain(error)],
        "traceback": "".join(traceback.format_tb(error.__traceback__)),
    }


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _named(error: BaseException) -> str:
    """Return the class of an error, and the code that a system, SQLite or AWS gave it."""
    answer = getattr(error, "response", None)
    told = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
    number = errno.errorcode.get(error.errno or 0) if isinstance(error, OSError) else None
    code = told or getattr(error, "sqlite_errorname", None) or number
    return f"{type(error).__qualname__} {code}" if code else type(error).__qualname__


def _errors(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    given = event.pop("exc_info", None)
    if given:
        error = (
            given if isinstance(given, BaseException) else (given if isinstance(given, tuple) else sys.exc_info())[1]
        )
        event.update(described(error) if error else {})
    return event


def _rendering(form: str) -> list[structlog.typing.Processor]:
    if form == "console":
        return [_for_eyes, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [structlog.processors.JSONRenderer()]


def _for_eyes(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if "traceback" in event:
        event["exception"] = event.pop("traceback").rstrip()
    return event
