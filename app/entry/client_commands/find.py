"""`bulkhead find`: searches for studies, series or instances (conformance §5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from app.client.attributes import assignment, name_of, path_for, text_of
from app.client.connection import ArchiveClient
from app.client.pages import pages
from app.dicom.validation.attributes import CORE, UIDS, UNINDEXED, Level
from app.entry.client_commands.common import calls_server, json_option
from app.entry.client_commands.rows import csv_option, print_csv, print_json, print_table

LEVELS: Final = {"studies": Level.STUDY, "series": Level.SERIES, "instances": Level.INSTANCE}

_COLUMNS: Final = {
    Level.STUDY: "PatientName PatientID StudyDate ModalitiesInStudy StudyDescription "
    "NumberOfStudyRelatedInstances StudyInstanceUID",
    Level.SERIES: "Modality SeriesNumber SeriesDescription NumberOfSeriesRelatedInstances SeriesInstanceUID "
    "StudyInstanceUID",
    Level.INSTANCE: "InstanceNumber SOPClassUID SOPInstanceUID SeriesInstanceUID StudyInstanceUID",
}
"""The columns of each level, if the caller names none."""


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    names = [*LEVELS, *(f"{each.keyword}=" for each in (*CORE.values(), *UNINDEXED.values()))]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.command()
@click.argument("terms", nargs=-1, metavar="[studies|series|instances] [KEY=VALUE]...", shell_complete=_complete)
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Find at most so many.")
@click.option("--all", "find_all", is_flag=True, help="Find all, page by page.")
@click.option("--fields", metavar="KEY,KEY", help="The attributes to show, in place of the usual ones.")
@click.option("--fuzzy", is_flag=True, help="Let the beginning of any part of a person name match.")
@csv_option
@json_option
@calls_server
def find(
    client: ArchiveClient,
    terms: Sequence[str],
    limit: int,
    find_all: bool,
    fields: str | None,
    fuzzy: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Search for studies, series or instances, the newest first.

    KEY is a keyword or a tag of 8 hex digits. VALUE may have the wildcards * and ?, and ranges of dates.

    \b
    bulkhead find PatientName='Doe*' StudyDate=20240101-20241231
    bulkhead find series Modality=CT --all --csv > series.csv
    bulkhead find instances StudyInstanceUID=1.2.3 --fields InstanceNumber,Rows --json
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other.")
    level, filters = _query(terms)
    paths = [path_for(name.strip()) for name in (fields or _COLUMNS[level].replace(" ", ",")).split(",")]
    parameters = [*filters, ("includefield", ",".join(paths)), *([("fuzzymatching", "true")] if fuzzy else [])]
    asked = None if find_all else limit + 1  # one more shows whether there are more
    found = _found(client, level, parameters, asked)
    shown = found if find_all else _first(found, limit)
    if as_json:
        print_json(shown)
        return
    rows = ([text_of(dataset, path) for path in paths] for dataset in shown)
    columns = [name_of(path) for path in paths]
    if as_csv:
        print_csv(columns, rows)
    else:
        print_table(columns, rows, f"No {_word(level)} were found.")


def _word(level: Level) -> str:
    return next(word for word, each in LEVELS.items() if each is level)


def _query(terms: Sequence[str]) -> tuple[Level, list[tuple[str, str]]]:
    level = LEVELS.get(terms[0]) if terms else None
    return level or Level.STUDY, [assignment(term) for term in (terms[1:] if level else terms)]


def _found(
    client: ArchiveClient, level: Level, parameters: list[tuple[str, str]], limit: int | None
) -> Iterator[dict[str, Any]]:
    def uids(dataset: dict[str, Any]) -> object:
        return tuple(text_of(dataset, UIDS[each]) for each in Level if each <= level)

    for page in pages(client, f"/{_word(level)}", parameters, limit=limit, identity=uids):
        yield from page


def _first(found: Iterator[dict[str, Any]], limit: int) -> Iterator[dict[str, Any]]:
    for number, dataset in enumerate(found):
        if number == limit:
            click.echo(f"There are more than {limit}. Use --limit or --all to see them.", err=True)
            return
        yield dataset
