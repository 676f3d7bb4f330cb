"""The `bulkhead` command."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

import click

from app import __version__, bootstrap, logs
from app.entry import worker
from app.entry.serving import Server
from app.entry.supervision import Supervisor, follow_parent
from app.errors import BulkheadError, ConfigurationError
from app.settings import Settings, settings_table

MISCONFIGURED = 2
FAILED = 1

P = ParamSpec("P")


def configured(command: Callable[Concatenate[Settings, P], None]) -> Callable[P, None]:
    """Hand the settings to `command`; faults in them end the process with exit code 2, storage faults with 1."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            settings = Settings.from_environment(os.environ)
            logs.configure(settings.log_level, settings.log_format)
            command(settings, *args, **kwargs)
        except ConfigurationError as error:
            click.echo(f"Bulkhead cannot start as configured:\n{error}", err=True)
            sys.exit(MISCONFIGURED)
        except BulkheadError as error:
            click.echo(f"Bulkhead cannot go on: {error}{_cause(error)}", err=True)
            sys.exit(FAILED)

    return wrapped


def _cause(error: BulkheadError) -> str:
    """Return what the engine met, for the operator; callers are never shown it."""
    cause = error.__cause__
    return f" {type(cause).__name__}: {cause}" if cause else ""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="bulkhead")
def main() -> None:
    """Bulkhead, a DICOMweb store with data partitions.

    \b
    bulkhead serve                     an archive in ./data on http://127.0.0.1:8080
    BULKHEAD_PORT=9000 bulkhead serve  the same elsewhere
    bulkhead settings                  every setting with its value now

    Everything is configured by BULKHEAD_* variables of the environment; with BULKHEAD_ENGINE=aws the archive lies in
    S3 and DynamoDB, whose endpoints and credentials come from the usual AWS_* variables.

    Exit codes: 0 well done, 1 the data store failed, 2 the settings are wrong (each fault is named).
    """


@main.command()
@configured
def serve(settings: Settings) -> None:
    """Serve the archive until SIGTERM or Ctrl-C.

    Prints one line with the URL once requests are answered. With the embedded engine one worker runs beside the
    server, is started again if it dies, and stops with it. With the aws engine run `bulkhead worker` as well, on
    any machine.
    """
    bootstrap.build_services(
        settings, bootstrap.build_engine(settings)
    )  # refuses here what no server process may start on
    if settings.engine == "embedded":
        sys.exit(
            Supervisor(server=_module("app.entry.serving"), worker=_module("app.entry.cli", "worker", "--follow")).run()
        )
    Server(settings).run()


@main.command(name="worker")
@click.option("--follow", is_flag=True, hidden=True, help="Stop when the parent process dies.")
@configured
def work(settings: Settings, follow: bool) -> None:
    """Do the background work.

    That is re-indexing, exports and bulk updates, the removal of deleted instances' files, and sweeping up what
    crashes left behind. Any number may run; each piece of work is leased by one of them. SIGTERM and Ctrl-C stop
    it after the step under way; killing it at any point loses nothing.
    """
    if follow:
        follow_parent()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    worker.run(settings, stop)


@main.command()
@configured
def init(settings: Settings) -> None:
    """Create the data folder, or the table and the bucket.

    What is there already is left as it is. A queue is not made: without BULKHEAD_QUEUE_URL the table serves as
    one. Safe to repeat. Production tables and buckets come from infra/template.yaml, with backups and encryption;
    this command is for stand-ins and trials, and the credentials must allow it.
    """
    bootstrap.initialise(settings)
    click.echo(
        "Ready: "
        + (str(settings.data_dir) if settings.engine == "embedded" else f"{settings.table}, {settings.bucket}")
    )


@main.command()
@configured
def settings(settings: Settings) -> None:
    """Print every setting with its value now."""
    click.echo(settings_table(settings), nl=False)


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


if __name__ == "__main__":
    main()
