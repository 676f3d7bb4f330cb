"""What a store reports when the data store fails: nothing was stored, some of it, or that is not known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.errors import UNAVAILABLE, Throttled
from app.services.store import service
from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient, items, value
from tests.support.faults import AFTER, FOR_EVER, Rule, fail, run
from tests.support.faulty_engine import Faults
from tests.support.instances import make_instance

UIDS = [f"2.25.{number}" for number in range(1, 5)]
QUERY_TAGS = "querytags|*"
ROW = "*/study/2.25.1000|instance/*"


def file(instance: str, **attributes: Any) -> bytes:
    return make_instance(study="2.25.1000", series="2.25.1001", instance=instance, **attributes)


FILES = [file(each) for each in UIDS]


@pytest.fixture
def batches_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each instance is committed by itself, so that an outage can begin between two of them."""
    monkeypatch.setattr(service, "BATCH_INSTANCES", 1)


def unavailable(response: TestResponse) -> bool:
    """Return whether the answer is 503. Assert that it names no instance and says when to try again."""
    if response.status_code != 503:
        return False
    assert (response.text, response.headers["Retry-After"]) == (UNAVAILABLE, "5")
    return True


def outcomes(response: TestResponse) -> tuple[int, list[str], list[tuple[int, str | None]]]:
    """Return the status, the UIDs of what was stored, and reason and UID of what failed."""
    dataset = response.get_json(force=True)
    failed = [
        (value(each, "00081197"), value(each, "00081155") if "00081155" in each else None)
        for each in items(dataset, "00081198")
    ]
    return response.status_code, [value(each, "00081155") for each in items(dataset, "00081199")], failed


def found(clinic: PartitionClient) -> set[str]:
    """Return the UIDs of the instances that a search finds."""
    response = clinic.get("/instances?includefield=00080018")
    return {value(each, "00080018") for each in response.get_json(force=True)} if response.data else set()


@pytest.mark.parametrize("operation", ["table.get_many", "table.write", "table.add", "blobs.put"])
def test_if_nothing_could_be_stored_the_store_is_503_and_can_be_repeated(
    clinic: PartitionClient, faults: Faults, operation: str
) -> None:
    clinic.stored(file("2.25.9"))
    faults.add(Rule(fail(), operation=operation, times=FOR_EVER))
    assert unavailable(clinic.store(*FILES))
    faults.clear()
    assert found(clinic) == {"2.25.9"}
    clinic.stored(*FILES)


def test_refused_instances_beside_it_do_not_hide_an_outage(clinic: PartitionClient, faults: Faults) -> None:
    clinic.stored(FILES[0])
    faults.add(Rule(fail(), operation="blobs.put", times=FOR_EVER))
    assert unavailable(clinic.store(FILES[0], b"no DICOM file", FILES[1]))
    faults.clear()
    assert outcomes(clinic.store(FILES[0], b"no DICOM file", FILES[1])) == (
        202,
        [UIDS[1]],
        [(43264, None), (45070, UIDS[0])],
    )


def test_an_instance_whose_file_cannot_be_written_fails_alone(clinic: PartitionClient, faults: Faults) -> None:
    faults.add(Rule(fail(), operation="blobs.put", key=f"*/{UIDS[2]}/*"))
    assert outcomes(clinic.store(*FILES)) == (202, [UIDS[0], UIDS[1], UIDS[3]], [(272, UIDS[2])])
    assert found(clinic) == {UIDS[0], UIDS[1], UIDS[3]}
    clinic.stored(FILES[2])


@pytest.mark.usefixtures("batches_of_one")
def test_what_was_stored_before_the_outage_is_reported(clinic: PartitionClient, faults: Faults) -> None:
    faults.add(Rule(fail(), operation="table.get_many", nth=2, times=FOR_EVER))
    assert outcomes(clinic.store(*FILES)) == (202, UIDS[:1], [(272, each) for each in UIDS[1:]])
    faults.clear()
    assert found(clinic) == set(UIDS[:1])


@pytest.mark.usefixtures("batches_of_one")
def test_an_outage_of_the_tags_in_the_middle_does_not_hide_what_was_stored(
    clinic: PartitionClient, faults: Faults
) -> None:
    outage = Rule(fail(), operation="table.get", key=QUERY_TAGS, times=FOR_EVER)
    faults.add(Rule(run(lambda: faults.add(outage)), operation="table.write", key=ROW, stage=AFTER))
    assert outcomes(clinic.store(*FILES)) == (202, UIDS[:1], [(272, each) for each in UIDS[1:]])


@pytest.mark.usefixtures("batches_of_one")
def test_an_outage_ends_a_store_early_if_nothing_was_stored(clinic: PartitionClient, faults: Faults) -> None:
    faults.add(Rule(fail(), operation="blobs.put", times=FOR_EVER))
    assert unavailable(clinic.store(*FILES))
    assert faults.calls["blobs.put"] == 2  # the name of the new partition, and one file


def test_a_store_whose_answer_is_lost_is_503_and_the_instance_exists(clinic: PartitionClient, faults: Faults) -> None:
    faults.add(Rule(fail(), operation="table.write", key=ROW, stage=AFTER))
    assert unavailable(clinic.store(FILES[0]))
    assert outcomes(clinic.store(FILES[0])) == (409, [], [(45070, UIDS[0])])


def test_a_throttled_store_is_503_and_reserves_no_more_numbers(clinic: PartitionClient, faults: Faults) -> None:
    """The counter of the archive is its hottest key, so a store that is throttled must not come back to it."""
    clinic.stored(file("2.25.9"))
    faults.add(Rule(fail(Throttled()), operation="table.write", key=ROW, times=FOR_EVER))
    faults.calls.clear()
    assert unavailable(clinic.store(*FILES))
    assert faults.calls["table.add"] == 1
    faults.clear()
    clinic.stored(*FILES)


def test_identical_bytes_whose_first_answer_was_lost_count_as_stored(serve: Serve, faults: Faults) -> None:
    clinic = PartitionClient(serve(identical_store="success"))
    faults.add(Rule(fail(), operation="table.write", key=ROW, stage=AFTER))
    assert unavailable(clinic.store(FILES[0]))
    assert outcomes(clinic.store(FILES[0])) == (200, UIDS[:1], [])


def test_identical_bytes_are_no_conflict_if_that_cannot_be_read(serve: Serve, faults: Faults) -> None:
    clinic = PartitionClient(serve(identical_store="success"))
    clinic.stored(FILES[0])
    faults.add(Rule(fail(), operation="table.get_many", nth=2))
    assert unavailable(clinic.store(FILES[0]))
    assert outcomes(clinic.store(FILES[0])) == (200, UIDS[:1], [])


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_a_body_that_cannot_be_spooled_fails_alone(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    clinic = PartitionClient(serve(spool_dir=folder))
    folder.rmdir()
    large = file(UIDS[1], PixelData=bytes(2_000_000))
    assert outcomes(clinic.store(FILES[0], large, FILES[2])) == (202, [UIDS[0], UIDS[2]], [(272, None)])
    assert unavailable(clinic.store(large))
    folder.mkdir()
    clinic.stored(large)
