"""How commands print lists of JSON objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click
import orjson


def print_list(documents: Sequence[dict[str, Any]], as_json: bool) -> None:
    """Print JSON objects: as a JSON array, or in lines with a column for each member."""
    if as_json:
        click.echo(orjson.dumps(documents, option=orjson.OPT_INDENT_2))
        return
    columns = list(dict.fromkeys(name for document in documents for name in document))
    rows = [columns, *([text_of(document.get(name)) for name in columns] for document in documents)]
    for line in _aligned(rows) if documents else ():
        click.echo(line)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def text_of(value: Any, absent: str = "-") -> str:
    """Return a JSON value for people."""
    match value:
        case None:
            return absent
        case dict():
            return " ".join(f"{name}={text}" for name, text in value.items())
        case list() | tuple():
            return ",".join(value)
    return str(value)
