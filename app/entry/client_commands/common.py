"""What the commands that call a server share: options, exit codes, errors in one line, and the console.

A command looks so:

    @click.command()
    @calls_server
    @json_option
    def partitions(client: ArchiveClient, as_json: bool) -> None:
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec

import click
import httpx
from rich.console import Console

from app.client.connection import DEFAULT_PARTITION, DEFAULT_URL, ArchiveClient
from app.client.errors import (
    ClientError,
    CredentialsRefused,
    InvalidAddress,
    InvalidAttribute,
    ServerUnreachable,
    UnexpectedAnswer,
)
from app.settings.client import PARTITION, TOKEN, TOKEN_FILE, URL

FAILED: Final = 1
"""The exit code if the server refused or failed all or some of the work."""
MISUSED: Final = 2
"""The exit code if the command line is wrong."""
UNREACHABLE: Final = 3
"""The exit code if the server does not answer, is no Bulkhead server, or does not accept the credentials."""
INTERRUPTED: Final = 130
"""The exit code after Ctrl-C."""

_EXIT_CODES: Final = {
    InvalidAddress: MISUSED,
    InvalidAttribute: MISUSED,
    ServerUnreachable: UNREACHABLE,
    UnexpectedAnswer: UNREACHABLE,
    CredentialsRefused: UNREACHABLE,
}

P = ParamSpec("P")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")


def exit_code(error: ClientError) -> int:
    """Return the exit code of an error that ends a command."""
    return next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), FAILED)


def error_console() -> Console:
    """Return a console on standard error. Progress bars are for `console.is_terminal` alone."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def calls_server(command: Callable[Concatenate[ArchiveClient, P], None]) -> Callable[P, None]:
    """Give a command the options of the server, and an `ArchiveClient` as its first argument.

    A `ClientError` ends the process with one line on standard error and the exit code of its kind. Ctrl-C ends it
    with `INTERRUPTED`. An `httpx.BaseTransport` as the object of the click context stands in for the network.
    """

    @click.option("--url", envvar=URL, default=DEFAULT_URL, show_default=True, help=f"The server. [env: {URL}]")
    @click.option(
        "--partition",
        envvar=PARTITION,
        metavar="NAME",
        help=f"The partition. Default: {DEFAULT_PARTITION}, or none if the server has partitions off. "
        f"[env: {PARTITION}]",
    )
    @click.option(
        "--token",
        envvar=TOKEN,
        metavar="TOKEN",
        help="The token of the caller. Everyone on this machine can see it in the list of processes: prefer "
        f"--token-file or the variable. [env: {TOKEN}]",
    )
    @click.option(
        "--token-file",
        envvar=TOKEN_FILE,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=f"A file that contains the token. [env: {TOKEN_FILE}]",
    )
    @wraps(command)
    def wrapped(
        *args: Any, url: str, partition: str | None, token: str | None, token_file: Path | None, **kwargs: Any
    ) -> None:
        try:
            with ArchiveClient(
                url, partition or None, token=_token(token, token_file), transport=_transport()
            ) as client:
                if client.sends_token_in_clear:
                    click.echo("Warning: the token is sent without encryption. Use an https address.", err=True)
                command(client, *args, **kwargs)
        except ClientError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(exit_code(error))
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            sys.exit(INTERRUPTED)

    return wrapped  # type: ignore[return-value]  # click calls it with the options by name


def _token(token: str | None, token_file: Path | None) -> str | None:
    """Return the token. A token that was given as such comes before a file."""
    if token or token_file is None:
        return token
    try:
        text = token_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--token-file: {token_file} cannot be read: {error}") from error
    if not text:
        raise click.UsageError(f"--token-file: {token_file} is empty.")
    return text


def _transport() -> httpx.BaseTransport | None:
    given: Any = click.get_current_context().find_root().obj
    return given if isinstance(given, httpx.BaseTransport) else None
