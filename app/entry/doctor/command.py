"""The command `bulkhead doctor`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from functools import partial
from typing import Final

import click
import orjson

from app.entry.configured import FAILED
from app.entry.doctor import archive, folders, installation, serving, site
from app.entry.doctor.findings import FAULT, OK, WARNING, Check, Finding, findings_of
from app.errors import ConfigurationError
from app.settings import Settings

_COLOURS: Final = {OK: "green", WARNING: "yellow", FAULT: "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of the findings.")
def doctor(as_json: bool) -> None:
    """Check settings, engine, port, clock and versions, and say what to mend.

    It reads the same settings as `bulkhead serve`. It changes nothing and takes ten seconds at most. The service may
    run meanwhile. Run it as the user of the service.

    Exit codes: 0 no fault (there may be warnings), 1 a fault.
    """
    findings = _findings(os.environ)
    if as_json:
        click.echo(orjson.dumps([asdict(each) for each in findings], option=orjson.OPT_INDENT_2))
    else:
        for line in _lines(findings):
            click.echo(line)
    if any(each.status == FAULT for each in findings):
        sys.exit(FAILED)


def _findings(environment: Mapping[str, str]) -> list[Finding]:
    """Return what all checks find. Without usable settings only the installation is checked."""
    checks: dict[str, Check] = {"packages": installation.versions, "extras": installation.extras}
    try:
        settings = Settings.from_environment(environment)
    except ConfigurationError as error:
        faults = [Finding("settings", FAULT, line, _CORRECT) for line in str(error).splitlines()]
        return [*faults, *findings_of(checks)]
    found = [_settings(settings)]
    try:
        checks |= _checks(settings)
    except ConfigurationError as error:
        found.append(Finding("settings", FAULT, str(error), "Set what the text names."))
    return [*found, *findings_of(checks)]


_CORRECT: Final = "Correct the variable. `bulkhead settings` explains each."


def _checks(settings: Settings) -> dict[str, Check]:
    of_engine = (
        archive.aws_checks(settings)
        if settings.engine == "aws"
        else {
            "data folder": partial(folders.data_folder, settings),
            "backup": partial(folders.backups, settings),
            "clock": partial(folders.clock, settings),
        }
    )
    of_service = {
        "layout": archive.archive,
        "folders": folders.other_folders,
        "open files": serving.open_files,
        "port": serving.port,
        "access": serving.access,
        "audit": serving.audit,
        "site": site.site,
    }
    return {**of_engine, **{name: partial(check, settings) for name, check in of_service.items()}}


def _settings(settings: Settings) -> Finding:
    default = Settings()
    changed = sum(getattr(settings, each.name) != getattr(default, each.name) for each in fields(Settings))
    text = f"The settings have no faults. {changed} of {len(fields(Settings))} differ from their defaults."
    return Finding("settings", OK, text)


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    width = max(len(each.check) for each in findings)
    for each in findings:
        status = click.style(f"{each.status:7}", fg=_COLOURS[each.status])
        text = each.text if each.text.endswith(".") else f"{each.text.rstrip(': ')}."
        yield f"{status}  {each.check:{width}}  {text} {each.advice}".rstrip()
    yield _summary(each.status for each in findings)


def _summary(statuses: Iterable[str]) -> str:
    found = list(statuses)
    faults, warnings = found.count(FAULT), found.count(WARNING)
    return f"{len(found)} findings: {faults} faults, {warnings} warnings."
