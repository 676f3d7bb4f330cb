"""The `bulkhead` command."""

from __future__ import annotations

import signal
import sys
import threading

import click

from app import __version__, bootstrap
from app.entry import access_commands, audit_commands, metrics_folder, worker
from app.entry.command_table import CommandGroup
from app.entry.configured import configured
from app.entry.serving import Server
from app.entry.supervision import Supervisor, follow_parent
from app.settings import Settings, settings_table


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="bulkhead")
def main() -> None:
    """Bulkhead, a DICOMweb store with data partitions.

    \b
    bulkhead serve                     serve an archive in ./data on http://127.0.0.1:8080
    BULKHEAD_PORT=9000 bulkhead serve  serve it on another port
    bulkhead settings                  print every setting with its value

    All settings are environment variables BULKHEAD_*. With BULKHEAD_ENGINE=aws the archive is in S3 and DynamoDB.
    Their endpoints and credentials come from the usual AWS_* variables.

    The commands that call a server take --url, --partition and --token-file, or the variables BULKHEAD_URL,
    BULKHEAD_PARTITION and BULKHEAD_TOKEN.

    Exit codes: 0 success, 1 the data store failed, or the server refused some of the work, 2 the settings or the
    command line are wrong (each fault is printed), 3 the server does not answer or does not accept the credentials,
    130 interrupted.
    """


@main.command()
@configured
def serve(settings: Settings) -> None:
    """Serve the archive until SIGTERM or Ctrl-C.

    Prints one line with the URL when the server is ready. With the embedded engine one worker runs beside the
    server. It is started again if it dies, and it stops with the server. With the aws engine, run `bulkhead worker`
    as well, on any machine.
    """
    # A fault of the settings ends this process here, before any server process starts.
    settings.check_listening()
    bootstrap.build_services(settings, bootstrap.build_engine(settings))
    if settings.engine == "embedded":
        metrics_folder.provide()  # server and worker share it
        try:
            server, worker = _module("app.entry.serving"), _module("app.entry.cli", "worker", "--follow")
            sys.exit(Supervisor(server=server, worker=worker).run())
        finally:
            metrics_folder.remove()
    Server(settings).run()


@main.command(name="worker")
@click.option("--follow", is_flag=True, hidden=True, help="Stop when the parent process dies.")
@configured
def work(settings: Settings, follow: bool) -> None:
    """Do the background work.

    This is re-indexing, exports, bulk updates, and the removal of files of deleted instances and of crashed stores.
    Any number of workers may run: a lease gives each piece of work to one of them. SIGTERM and Ctrl-C stop a worker
    after its current step. A worker that is killed loses no work.
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

    It does not change what exists, so it is safe to repeat. It creates no queue: without BULKHEAD_QUEUE_URL the table
    serves as the queue. This command is for tests and trials, and the credentials must allow it. In production,
    infra/template.yaml creates table and bucket, with backups and encryption.
    """
    bootstrap.initialise(settings)
    click.echo(
        "Ready: "
        + (str(settings.data_dir) if settings.engine == "embedded" else f"{settings.table}, {settings.bucket}")
    )


@main.command()
@configured
def settings(settings: Settings) -> None:
    """Print every setting with its current value."""
    click.echo(settings_table(settings), nl=False)


main.add_command(access_commands.token)
main.add_command(access_commands.grant)
main.add_command(audit_commands.audit)


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


if __name__ == "__main__":
    main()
