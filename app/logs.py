"""One form for every log line, of this service and of the libraries under it: structlog over the standard logging."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Final

import structlog

QUIET: Final = ("boto3", "botocore", "s3transfer", "urllib3", "pydicom")
"""Libraries whose debug lines name headers and values; they never log below a warning."""


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
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(form)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def described(error: BaseException) -> dict[str, object]:
    """Return what of an error may be logged: classes and places. Not messages, for they may quote a patient's data."""
    return {
        "error": [type(each).__qualname__ for each in _chain(error)],
        "traceback": "".join(traceback.format_tb(error.__traceback__)),
    }


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _rendering(form: str) -> list[structlog.typing.Processor]:
    if form == "console":
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
