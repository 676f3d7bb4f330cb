"""Checks of archives in tests, without pauses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.bootstrap.archive import build_archive
from app.bootstrap.engines import Engine
from app.bootstrap.recovery import build_verification
from app.services.recovery.findings import Report
from app.settings import Settings
from app.storage.records.instance_row import InstanceRow
from app.storage.table import keys
from app.storage.table.ports import Item, Table


def checked(
    settings: Settings,
    engine: Engine,
    *,
    partition: str | None = None,
    digests: bool = False,
    resume: Path | None = None,
    **options: Any,
) -> Report:
    """Return the report of a check of an archive."""
    check = build_verification(
        settings,
        build_archive(settings, engine),
        partition_name=partition,
        digests=digests,
        resume=resume,
        show=lambda *_: None,
        pause=0,
        **options,
    )
    return check.run()


def found(report: Report) -> dict[str, int]:
    """Return how many faults of each kind a check found."""
    return dict(report.found)


def instance_items(table: Table) -> list[Item]:
    """Return the items of all instance rows."""
    return [item for item in table.items() if "/study/" in item.key.pk and item.key.sk.startswith("instance/")]


def instance_rows(table: Table) -> list[InstanceRow]:
    """Return all instance rows, in the order of storing."""
    rows = []
    for item in instance_items(table):
        partition, _, study = item.key.pk.split("/")
        rows.append(InstanceRow.of(item, int(partition), study))
    return sorted(rows, key=lambda row: row.created)


def family(table: Table, name: str) -> list[Item]:
    """Return the items of a family of a partition, such as `metadata`."""
    return [item for item in table.items() if f"/{name}/" in item.key.pk]


def study_item(table: Table, row: InstanceRow) -> Item:
    """Return the item of the study row of an instance."""
    item = table.get(keys.study(row.partition, row.study))
    assert item is not None
    return item
