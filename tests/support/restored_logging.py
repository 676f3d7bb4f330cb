"""The log as it was before a test that configures it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from app import logs


@contextmanager
def restored_logging() -> Iterator[None]:
    """Undo what `logs.configure` does in the block."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for library in logs.MINIMUM_LEVELS:
            logging.getLogger(library).setLevel(logging.NOTSET)
        structlog.reset_defaults()
