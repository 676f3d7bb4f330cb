"""Options of the commands for operators, and their reports as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import orjson

STDOUT: Final = Path("-")

json_option = click.option(
    "--json",
    "json_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Write the report as JSON to FILE; - prints it. The text goes to standard error then.",
)
quiet_option = click.option("--quiet", is_flag=True, help="Show no progress.")
resume_option = click.option(
    "--resume",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep in FILE how far the check is, and go on from there if FILE exists. It is removed at the end.",
)


def write_json(file: Path | None, document: dict[str, Any]) -> None:
    """Write a report, None for no report."""
    if file is None:
        return
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"
    if file == STDOUT:
        click.echo(text, nl=False)
    else:
        file.write_bytes(text)
