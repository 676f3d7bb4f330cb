"""What every command does first: it reads the settings. And how it ends if it cannot continue."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Final, ParamSpec

import click

from app import logs
from app.errors import BulkheadError, ConfigurationError
from app.settings import Settings

MISCONFIGURED: Final = 2
FAILED: Final = 1

P = ParamSpec("P")


def configured(command: Callable[Concatenate[Settings, P], None]) -> Callable[P, None]:
    """Return `command` with the settings as its first argument.

    Faults of the settings end the process with exit code 2, failures of the data store with exit code 1.
    """

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            settings = Settings.from_environment(os.environ)
            logs.configure(settings.log_level, settings.log_format)
            command(settings, *args, **kwargs)
        except ConfigurationError as error:
            click.echo(f"Bulkhead cannot start with these settings:\n{error}", err=True)
            sys.exit(MISCONFIGURED)
        except BulkheadError as error:
            click.echo(f"Bulkhead cannot continue: {error}{_cause(error)}", err=True)
            sys.exit(FAILED)

    return wrapped


def _cause(error: BulkheadError) -> str:
    """Return the cause of the error for the operator. Callers never see it."""
    cause = error.__cause__
    return f" {type(cause).__name__}: {cause}" if cause else ""
