"""kill -9 before and after each write of a bulk update. Each study is updated as a whole or not at all."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from app.dicom.editing import rewrite
from app.dicom.editing.rewrite import NewValue, RewrittenFile
from app.dicom.encoding.elements import Buffer
from app.dicom.encoding.part10 import Part10
from app.errors import InvalidInstance
from app.services.update import new_versions
from tests.support.archive import Archive, Uids
from tests.support.clock import AdvanceClock
from tests.support.faults import Killed, kill_at
from tests.support.selection import quick
from tests.support.updates import (
    PatientIds,
    check_indexed_tags,
    check_nothing_left_over,
    find_operation,
    indexed_patient_id,
    start_update,
    update,
    update_entries,
    visible_patients,
)
from tests.unit.storage.updates.studies import A2, OTHER_STUDY, STUDY, A, B, C, store_both_studies


class Scenario(NamedTuple):
    """The state before, and the expected end: Patient ID by study, number of updates by study, and the results."""

    prepare: Callable[[Archive], object]
    patient_ids: dict[str, str]
    updates: dict[str, int]
    results: dict[str, object]


SUCCESS: dict[str, object] = {"studyProcessed": 2, "studyUpdated": 2, "studyFailed": 0, "instanceUpdated": 4}
FAILURE: dict[str, object] = {
    "studyProcessed": 2,
    "studyUpdated": 1,
    "studyFailed": 1,
    "instanceUpdated": 1,
    "errors": [
        f"Failed to update instances for study {STUDY}",
        f"It is broken. PartitionKey: clinic, StudyInstanceUID: {B[0]}, SeriesInstanceUID: {B[1]}, "
        f"SOPInstanceUID: {B[2]}",
    ],
}
SCENARIOS = {
    "first update": Scenario(lambda _: None, {STUDY: "NEW", OTHER_STUDY: "NEW"}, {STUDY: 1, OTHER_STUDY: 1}, SUCCESS),
    "second update": Scenario(
        lambda archive: update(archive, "FIRST", STUDY, OTHER_STUDY),
        {STUDY: "NEW", OTHER_STUDY: "NEW"},
        {STUDY: 2, OTHER_STUDY: 2},
        SUCCESS,
    ),
    "failing update": Scenario(lambda _: None, {STUDY: "OLD", OTHER_STUDY: "NEW"}, {STUDY: 0, OTHER_STUDY: 1}, FAILURE),
}


@pytest.fixture
def break_file(monkeypatch: pytest.MonkeyPatch) -> Callable[[Uids], None]:
    """A function that makes it impossible to rewrite the file of one instance."""

    def break_file(uids: Uids) -> None:
        def rewrite_file(data: Buffer, part10: Part10, values: dict[int, NewValue]) -> RewrittenFile:
            if part10.raw(0x00080018).rstrip(b"\0") == uids[2].encode():
                raise InvalidInstance("It is broken.")
            return rewrite.rewrite_file(data, part10, values)

        monkeypatch.setattr(new_versions, "rewrite_file", rewrite_file)

    return break_file


@pytest.mark.parametrize("name", quick(["first update"], SCENARIOS))
def test_kill_at_any_write(
    name: str, tmp_path: Path, advance_clock: AdvanceClock, break_file: Callable[[Uids], None]
) -> None:
    scenario = SCENARIOS[name]
    for call in itertools.count(1):
        archive, successor = Archive(tmp_path, f"clinic-{call}"), Archive(tmp_path, f"clinic-{call}")
        store_both_studies(archive)
        scenario.prepare(archive)
        if name == "failing update":
            break_file(B)
        before = visible_patients(archive)
        operation = start_update(archive, "NEW", STUDY, OTHER_STUDY)
        rule = archive.faults.add(kill_at(call))
        with suppress(Killed):
            archive.work()
        check_no_study_is_half_updated(successor, before)
        successor.work()
        advance_clock(7200)
        successor.work()
        advance_clock(10)
        check_end(successor, operation, scenario)
        if not rule.hits:
            break
    assert call > 60


def check_no_study_is_half_updated(archive: Archive, before: dict[Uids, PatientIds]) -> None:
    now = visible_patients(archive, check_feed=False)
    assert now.keys() == before.keys()
    for study in (STUDY, OTHER_STUDY):
        (patient_ids,) = {each for uids, each in now.items() if uids[0] == study}
        assert patient_ids in (before[A], PatientIds("NEW", "OLD")), "readers see a study that is half updated"
        assert indexed_patient_id(archive, study) == patient_ids.current


def check_end(archive: Archive, operation: str, scenario: Scenario) -> None:
    expected = scenario.patient_ids
    assert visible_patients(archive) == {uids: PatientIds(expected[uids[0]], "OLD") for uids in (A, A2, B, C)}
    for uids in (A, A2, B, C):
        assert update_entries(archive, uids) == scenario.updates[uids[0]], "not one feed entry for each update"
    for study, patient_id in expected.items():
        assert indexed_patient_id(archive, study) == patient_id
    check_indexed_tags(archive, expected)
    ended = find_operation(archive, operation)
    assert (ended.status, ended.percent) == ("failed" if "errors" in scenario.results else "succeeded", 100)
    errors = [str(line).replace(f"{archive.partition.name},", "clinic,") for line in ended.results.get("errors", ())]
    assert {**ended.results, **({"errors": errors} if errors else {})} == scenario.results
    check_nothing_left_over(archive)
