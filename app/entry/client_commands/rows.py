"""How commands print rows: a table for people, JSON, or CSV. Rows come one after the other, so long lists are streamed
as JSON and CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import click
import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.entry.printed_lists import print_list

_HEADINGS: Final = {
    "InstanceNumber": "Number",
    "ModalitiesInStudy": "Modalities",
    "NumberOfStudyRelatedInstances": "Instances",
    "NumberOfSeriesRelatedInstances": "Instances",
    "SeriesDescription": "Description",
    "SeriesNumber": "Number",
    "StudyDescription": "Description",
}
"""Short headings of narrow columns on a terminal."""

csv_option = click.option("--csv", "as_csv", is_flag=True, help="Print CSV on standard output.")


def print_json(documents: Iterable[Any]) -> None:
    """Print a JSON array, one entry in each line."""
    separator = "["
    for document in documents:
        click.echo(separator + "\n" + orjson.dumps(document).decode(), nl=False)
        separator = ","
    click.echo("[]" if separator == "[" else "\n]")


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print CSV with a heading (RFC 4180). Lines end as other programs of a shell expect."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str = "Nothing was found.") -> None:
    """Print a table on a terminal, and aligned lines elsewhere. Characters that control a terminal are replaced."""
    cleaned = [[printable(text) for text in row] for row in rows]
    if not cleaned:
        click.echo(empty, err=True)
        return
    if not sys.stdout.isatty():
        print_list([dict(zip(columns, row, strict=True)) for row in cleaned], as_json=False)
        return
    console = Console(highlight=False)
    whole = _has_space_for_uids(columns, cleaned, console.width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        no_wrap = whole and column.endswith("UID")
        table.add_column(_HEADINGS.get(column, column), overflow="fold", no_wrap=no_wrap)
    for row in cleaned:
        table.add_row(*map(Text, row))
    console.print(table)


def _has_space_for_uids(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> bool:
    """Return whether each UID can be in one line, so that it can be copied, and others still have half of the width."""
    positions = [position for position, column in enumerate(columns) if column.endswith("UID")]
    return sum(max(len(row[position]) for row in rows) for position in positions) <= width / 2


def print_members(document: Mapping[str, Any]) -> None:
    """Print the members of an object, one in each line."""
    width = max(map(len, document), default=0)
    for name, value in document.items():
        shown = value if isinstance(value, str) else orjson.dumps(value).decode()
        click.echo(f"{name:{width}}  {printable(shown)}")


def printable(text: str) -> str:
    """Return the text without characters that control a terminal. Values come from files of unknown origin."""
    return "".join(each if each.isprintable() else " " for each in text)
