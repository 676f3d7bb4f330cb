"""`bulkhead audit`: checks and converts an audit trail (conformance §13.5). The service may run meanwhile."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from app.bootstrap.audit import audit_key
from app.entry.configured import FAILED, MISCONFIGURED
from app.errors import ConfigurationError
from app.services.audit.dicom_messages import log_used_message, messages
from app.services.audit.verification import Verification, verify
from app.settings import variable

_files = click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
)


@click.group()
def audit() -> None:
    """Check or convert an audit trail.

    A trail is one or more files: those that BULKHEAD_AUDIT names, or standard error of the service in files.
    """


@audit.command(name="verify")
@_files
@click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    envvar=variable("audit_key_file"),
    help=f"The file with the secret of the digests. Default: {variable('audit_key_file')}.",
)
@click.option("--part", is_flag=True, help="The files are a part of the trail: its first lines may be elsewhere.")
def verify_files(files: Sequence[Path], key_file: Path | None, part: bool) -> None:
    """Find audit lines that are missing, changed, doubled or moved in FILES.

    Give all files of a trail, in any order. It prints the first fault of each process of the service, and one line
    that says what was checked.

    Nothing shows whether the last lines of a process are there, if it has no line stop: it may still run, or it was
    killed. Without a secret, who can write the files can also compute new digests.

    Exit codes: 0 no fault, 1 faults or no audit lines, 2 a file cannot be read.
    """
    try:
        found = verify(dict.fromkeys(files), key=audit_key(key_file), is_part=part)
    except (ConfigurationError, OSError) as error:
        click.echo(str(error), err=True)
        sys.exit(MISCONFIGURED)
    for fault in found.faults:
        click.echo(str(fault))
    for process, place in found.running.items():
        click.echo(f"process {process}: the line stop is not there. {place} is its last line.")
    for cut in found.cut:
        click.echo(f"{cut} ends in the middle.")
    click.echo(_summary(found))
    if found.faults or not found.lines:
        sys.exit(FAILED)


@audit.command()
@_files
@click.option("--dicom", is_flag=True, required=True, help="As DICOM audit messages, the only format so far.")
def export(files: Sequence[Path], dicom: bool) -> None:
    """Print the calls in FILES as DICOM audit messages (PS3.15 A.5), one XML document in each line.

    Give all files of a trail, the oldest first. There is a message for each call, with its outcome, and for each start
    and stop of a process. The first messages say that you read the files. Check the files before: this command does
    not.

    Exit codes: 0 success, 2 a file cannot be read.
    """
    reader = {"user": _reader(), "host": socket.gethostname()}
    try:
        for file in files:
            click.echo(log_used_message(datetime.now(UTC), file=file, **reader))
        for message in messages(files):
            click.echo(message)
    except OSError as error:
        click.echo(str(error), err=True)
        sys.exit(MISCONFIGURED)


def _reader() -> str:
    """Return the name of who runs the command. A user of a container may have a number alone."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user id {os.getuid()}"


def _summary(found: Verification) -> str:
    checked = f"{found.lines} audit lines of {found.processes} processes in {found.files} files"
    if not found.lines:
        return f"There are no audit lines in {found.files} files."
    return f"{checked}: {len(found.faults)} faults." if found.faults else f"{checked}: none is missing or changed."
