"""What searches tell of the members of a match: counts, modalities, stored transfer syntax (conformance §5.8)."""

from __future__ import annotations

from typing import Any

import pytest

from app import bootstrap
from app.storage.table import keys
from tests.support.dicomweb import PartitionClient, value
from tests.support.faulty_engine import Faults
from tests.support.instances import EXPLICIT_LITTLE, IMPLICIT_LITTLE, make_instance

STUDY, IMAGES, REPORTS, OTHER = "2.25.1", "2.25.1.1", "2.25.1.2", "2.25.2"
OHIF_LIST = "/studies?limit=101&offset=0&fuzzymatching=true&includefield=00081030%2C00080060%2C00080090%2C00100030"
WSIDICOM_FIELD = "includefield=AvailableTransferSyntaxUID"

SUMMARY = {"00080061", "00201206", "00201208"}


@pytest.fixture(autouse=True)
def stored(clinic: PartitionClient) -> None:
    """Two CT images and a report in one study, and a study without Modality. The report is the newest of its study."""
    clinic.stored(make_instance(study=OTHER, modality=None, NumberOfFrames="1", ImageType="ORIGINAL\\PRIMARY"))
    clinic.stored(
        make_instance(study=STUDY, series=IMAGES, transfer_syntax=IMPLICIT_LITTLE),
        make_instance(study=STUDY, series=IMAGES),
        make_instance(study=STUDY, series=REPORTS, modality="SR"),
    )


def rows(caller: PartitionClient, path: str) -> list[dict[str, Any]]:
    response = caller.get(path)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.get_json(force=True)
    return found


def values(row: dict[str, Any], *tags: str) -> list[list[Any]]:
    return [row.get(tag, {}).get("Value", []) for tag in tags]


def test_the_study_list_of_ohif_has_modalities_and_counts(clinic: PartitionClient, strict: PartitionClient) -> None:
    for caller in (clinic, strict):
        first, second = rows(caller, OHIF_LIST)
        assert values(first, "00080060", "00080061", "00201206", "00201208") == [["CT", "SR"], ["CT", "SR"], [2], [3]]
        assert values(second, "00080060", "00080061", "00201206", "00201208") == [[], [], [1], [1]]


@pytest.mark.parametrize(
    ("query", "with_modality"),
    [
        ("includefield=Modality", True),
        ("includefield=00080061", False),
        ("includefield=00201206", False),
        ("includefield=NumberOfStudyRelatedInstances", False),
        ("includefield=all", False),
        ("ModalitiesInStudy=SR", False),
        ("ModalitiesInStudy=*", False),
    ],
)
def test_one_attribute_of_the_summary_of_a_study_brings_all_of_it(
    clinic: PartitionClient, strict: PartitionClient, query: str, with_modality: bool
) -> None:
    for caller in (clinic, strict):
        row = rows(caller, f"/studies?{query}")[0]
        assert row.keys() >= SUMMARY
        assert ("00080060" in row) == with_modality


def test_a_study_has_no_summary_unless_it_is_asked_for(clinic: PartitionClient, strict: PartitionClient) -> None:
    for caller in (clinic, strict):
        for row in rows(caller, "/studies?includefield=StudyTime"):
            assert not row.keys() & {*SUMMARY, "00080060"}


@pytest.mark.parametrize("query", ["includefield=Modality", "includefield=00201209", "includefield=all", "Modality=SR"])
def test_one_attribute_of_the_summary_of_a_series_brings_its_count(
    clinic: PartitionClient, strict: PartitionClient, query: str
) -> None:
    for caller in (clinic, strict):
        for path in ("/series", f"/studies/{STUDY}/series"):
            first = rows(caller, f"{path}?{query}")[0]
            assert values(first, "00080060", "00201209") == [["SR"], [1]]
            assert not first.keys() & SUMMARY  # they are attributes of studies
        assert [values(row, "00201209") for row in rows(caller, f"/studies/{STUDY}/series?includefield=00201209")] == [
            [[1]],
            [[2]],
        ]
        assert "00201209" not in rows(caller, "/series")[0]


def test_the_counts_follow_deletions(clinic: PartitionClient) -> None:
    assert clinic.delete(f"/studies/{STUDY}/series/{REPORTS}").status_code == 204
    assert values(rows(clinic, OHIF_LIST)[0], "00080060", "00201206", "00201208") == [["CT"], [1], [2]]


def test_the_stored_transfer_syntax_of_instances_is_returned_if_included(
    clinic: PartitionClient, strict: PartitionClient
) -> None:
    for caller in (clinic, strict):
        found = rows(caller, f"/instances?StudyInstanceUID={STUDY}&{WSIDICOM_FIELD}")
        assert [value(row, "00083002") for row in found] == [EXPLICIT_LITTLE, EXPLICIT_LITTLE, IMPLICIT_LITTLE]
        assert found[0]["00083002"]["vr"] == "UI"
        assert "00083002" not in rows(caller, f"/studies?{WSIDICOM_FIELD}")[0]
        assert "00083002" not in rows(caller, "/instances")[0]


def test_the_number_of_frames_is_a_default_of_instances_and_the_image_type_is_none(
    clinic: PartitionClient, strict: PartitionClient
) -> None:
    for caller, query in ((strict, ""), (strict, "&includefield=all"), (clinic, "&includefield=all")):
        (row,) = rows(caller, f"/instances?StudyInstanceUID={OTHER}{query}")
        assert value(row, "00280008") == 1
        assert "00080008" not in row


@pytest.fixture
def parts(engine: bootstrap.Engine) -> int:
    """The parts of a spread posting list (`records/spread_lists.py`)."""
    return len(keys.parts("list", engine.row_shards))


def test_the_study_list_of_ohif_reads_one_range_of_each_study(
    clinic: PartitionClient, faults: Faults, parts: int
) -> None:
    """One query of each part and one batched read find the studies. One query for each study reads its series and their
    counts."""
    faults.calls.clear()
    rows(clinic, OHIF_LIST)
    assert faults.calls == {"table.get_many": 1, "table.query": parts + 2}


def test_a_search_by_modality_reads_the_series_of_each_study_once(
    clinic: PartitionClient, faults: Faults, parts: int
) -> None:
    faults.calls.clear()
    (found,) = rows(clinic, "/studies?ModalitiesInStudy=SR&includefield=00201208")
    assert values(found, "00080061", "00201206", "00201208") == [["CT", "SR"], [2], [3]]
    assert faults.calls == {"table.get_many": 1, "table.query": parts + 1}


def test_the_counts_of_the_series_of_a_study_are_one_query(clinic: PartitionClient, faults: Faults) -> None:
    faults.calls.clear()
    rows(clinic, f"/studies/{STUDY}/series?includefield=00201209")
    assert faults.calls == {"table.get": 1, "table.query": 1 + 1}


def test_counts_read_no_instance_rows(clinic: PartitionClient, faults: Faults) -> None:
    """The reads do not grow with the number of instances of a series."""
    read = []
    for _ in range(2):
        for _ in range(20):
            clinic.stored(make_instance(study=STUDY, series=IMAGES, pixel=False))
        faults.forget_reads()
        rows(clinic, OHIF_LIST)
        rows(clinic, f"/studies/{STUDY}/series?includefield=00201209")
        read.append(faults.items_read)
    assert read[0] == read[1]
    assert values(rows(clinic, OHIF_LIST)[0], "00201206", "00201208") == [[2], [43]]
