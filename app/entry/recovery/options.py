"""Options of the commands for operators, and their reports as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import orjson

from app.errors import RecoveryError

STDOUT: Final = Path("-")


def _in_a_folder(_: click.Context, __: click.Parameter, file: Path | None) -> Path | None:
    """Return the path of a file. Raises `click.BadParameter` if its folder does not exist.

    So a check of hours does not end with a report that cannot be written.
    """
    if file is not None and file != STDOUT and not file.absolute().parent.is_dir():
        raise click.BadParameter(f"There is no folder '{file.absolute().parent}'.")
    return file


json_option = click.option(
    "--json",
    "json_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    callback=_in_a_folder,
    help="Write the report as JSON to FILE; - prints it. The text goes to standard error then.",
)
quiet_option = click.option("--quiet", is_flag=True, help="Show no progress.")
resume_option = click.option(
    "--resume",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_in_a_folder,
    help="Keep in FILE how far the check is, and go on from there if FILE exists. It is removed at the end.",
)


def write_json(file: Path | None, document: dict[str, Any]) -> None:
    """Write a report, None for no report. Raises `RecoveryError` if the file cannot be written."""
    if file is None:
        return
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"
    if file == STDOUT:
        click.echo(text, nl=False)
    else:
        try:
            file.write_bytes(text)
        except OSError as error:
            raise RecoveryError(f"The report cannot be written to {file}.") from error
