"""The checkpoint of a bulk update, also as earlier releases wrote it."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from msgspec.structs import replace

from app.services.operations import runner
from app.services.update.progress import Phase, UpdateProgress
from app.storage.operations.operations import Operation, Operations
from tests.support.archive import Archive, Uids
from tests.support.updates import find_operation, image, indexed_patient_id, start_update

INSTANCE: Uids = ("2.25.1", "2.25.11", "2.25.111")


def test_checkpoint_is_read_as_it_was_written() -> None:
    progress = UpdateProgress(
        study_index=2,
        phase=Phase.FINISH,
        position="instance/x",
        last_watermark=7,
        revision=8,
        instances=3,
        errors=("a",),
    )
    assert UpdateProgress.of(progress.checkpoint) == progress
    assert UpdateProgress.of({}) == UpdateProgress()


def test_stored_names_are_those_of_earlier_releases() -> None:
    progress = UpdateProgress(
        study_index=1,
        phase=Phase.VERIFY,
        position=2,
        last_watermark=3,
        revision=4,
        instances=5,
        rounds=6,
        errors=("a line",),
    )
    assert orjson.loads(orjson.dumps(progress.checkpoint)) == {
        "at": 1,
        "phase": "verify",
        "after": 2,
        "until": 3,
        "revision": 4,
        "instances": 5,
        "rounds": 6,
        "lines": ["a line"],
    }


@pytest.mark.parametrize(("phase", "old_name"), [(Phase.PUBLISH, "flip"), (Phase.FINISH, "settle")])
def test_operation_of_an_earlier_release_goes_on(
    phase: Phase, old_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "LEASE_SECONDS", 0)
    archive = Archive(tmp_path)
    archive.store(image(INSTANCE))
    operation = start_update(archive, "NEW", INSTANCE[0])
    while find_operation(archive, operation).checkpoint.get("phase") != phase:
        archive.services.background[0]()
    operations = Operations(archive.table)
    claimed = operations.claim(operation, "earlier release", 0)
    assert claimed
    operations.save(_with_phase(claimed, old_name), "earlier release", 0)
    successor = Archive(tmp_path)
    successor.work()
    assert find_operation(successor, operation).status == "succeeded"
    assert indexed_patient_id(successor, INSTANCE[0]) == "NEW"


def _with_phase(operation: Operation, name: str) -> Operation:
    return replace(operation, checkpoint={**operation.checkpoint, "phase": name})
