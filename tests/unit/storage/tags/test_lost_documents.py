"""A re-index records a lost metadata document as an error of the tag, also that of a pending version."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.services.access.caller import ANONYMOUS
from app.storage.records.rows import InstanceRow
from app.storage.table import keys
from app.storage.table.ports import Delete
from tests.support.archive import Archive
from tests.support.updates import find_operation, start_update
from tests.unit.storage.tags.tagged_archive import NAME, STORED, add_tags

STUDY, SERIES, INSTANCE = STORED[0]


def instance_row(archive: Archive) -> InstanceRow:
    item = archive.table.get(keys.instance(archive.partition.key, STUDY, SERIES, INSTANCE))
    assert item is not None
    return InstanceRow.of(item, archive.partition.key, STUDY)


def update_until_published(archive: Archive) -> None:
    """Run a bulk update until the pending versions are written. This process keeps its lease."""
    operation = start_update(archive, "NEW", STUDY)
    while find_operation(archive, operation).checkpoint.get("phase") != "publish":
        archive.services.background[0]()


@pytest.mark.parametrize("pending", [False, True], ids=["current version", "pending version"])
def test_lost_document_is_an_error_of_the_tag(folder: Path, pending: bool) -> None:
    archive, worker = Archive(folder), Archive(folder)
    row = instance_row(archive)
    watermark = row.watermark
    if pending:
        update_until_published(archive)
        row = instance_row(archive)
        assert row.pending is not None and row.pending.file is not None
        watermark = row.pending.file.watermark
    archive.table.write(Delete(keys.metadata(archive.partition.key, STUDY, watermark)))
    add_tags(archive, NAME)
    worker.work()
    tag = worker.services.query_tags.find(ANONYMOUS, "OperatorsName").tag
    assert (tag.status, tag.query_status) == ("ready", "disabled")
    errors = {
        each.instance: each.message
        for each in worker.services.query_tags.errors(ANONYMOUS, "OperatorsName", offset=0, limit=100)
    }
    assert errors[INSTANCE] == f"The metadata document of the instance {STUDY}/{SERIES}/{INSTANCE} is lost."
