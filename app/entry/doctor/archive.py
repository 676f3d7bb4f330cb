"""Checks of the archive: its layout, the work that waits, and the parts of AWS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final

from app.bootstrap import inspection
from app.bootstrap.inspection import Probe
from app.entry.doctor.findings import FAULT, OK, WARNING, Check, Finding
from app.errors import StorageUnavailable
from app.settings import Settings
from app.storage.table import layout
from app.storage.table.ports import Table

_LATE_SECONDS: Final = 900
"""Age of due work from which on there is probably no worker."""

_WARNING_SKEW: Final = 30.0
_FAULT_SKEW: Final = 240.0
"""AWS refuses requests of clocks that differ by more than five minutes."""

_DAMAGED: Final = (
    "Stop the service, and look at the disk. If the file is damaged, restore a backup (page operations of /docs)."
)


def archive(settings: Settings) -> Iterator[Finding]:
    """Check whether this release can open the archive, and whether a worker does its work."""
    table = inspection.open_table(settings)
    if table is None:
        yield Finding("layout", OK, f"There is no archive yet. It gets layout {layout.CURRENT}.")
        return
    try:
        yield _layout(inspection.recorded_layout(settings, table))
    except StorageUnavailable as error:
        reason = error.__cause__ or error
        advice = _DAMAGED if settings.engine == "embedded" else "Mend what the check of the table names."
        yield Finding("layout", FAULT, f"The archive cannot be read: {reason}.", advice)
        return
    yield _worker(settings, table)


def _layout(found: int) -> Finding:
    try:
        layout.check(found)
    except layout.NewerLayout as error:
        return Finding("layout", FAULT, str(error), "Install the newer release.")
    if found < layout.CURRENT:
        return Finding("layout", OK, f"The archive has layout {found}. The next start brings it to {layout.CURRENT}.")
    return Finding("layout", OK, f"The archive has layout {found}, that of this release.")


def _worker(settings: Settings, table: Table) -> Finding:
    waiting = inspection.waiting_work(settings, table)
    if waiting is None:
        return Finding("worker", WARNING, "It is not known which work waits.", "Repeat `bulkhead doctor`.")
    age = max(waiting.sweep_age, waiting.queue_age)
    if age > _LATE_SECONDS:
        text = f"Work is due since {age / 60:.0f} minutes, so no worker seems to run."
        return Finding("worker", WARNING, text, "Start one with `bulkhead worker`; with `bulkhead serve` one runs.")
    return Finding("worker", OK, "No work is late." if age < 1 else f"The oldest work is due since {age:.0f} seconds.")


def aws_checks(settings: Settings) -> Mapping[str, Check]:
    """Return a check for each part of AWS. Raises `ConfigurationError` if a client cannot be made."""
    return {name: partial(_part, name, probe) for name, probe in inspection.aws_probes(settings).items()}


def _part(name: str, probe: Probe) -> Iterator[Finding]:
    sent = datetime.now(UTC)
    answer = probe()
    yield Finding(name, FAULT, answer.fault, answer.advice) if answer.fault else Finding(name, OK, "It answers.")
    if name == "table" and answer.date is not None:
        yield _clock(sent, answer.date, datetime.now(UTC))


def _clock(sent: datetime, date: datetime, received: datetime) -> Finding:
    """Compare the clocks. The answer was made between the two times, in a second that its date names."""
    behind = (date - received).total_seconds()
    ahead = (sent - date).total_seconds() - 1
    skew = max(behind, ahead)
    if skew < _WARNING_SKEW:
        return Finding("clock", OK, "The clock agrees with that of AWS.")
    text = f"The clock is {skew:.0f} seconds {'behind' if behind > ahead else 'ahead of'} that of AWS."
    status = FAULT if skew > _FAULT_SKEW else WARNING
    return Finding("clock", status, text, "Set the clock of this machine, and let it follow a time server.")
