"""Searches by attributes that the index has no postings for (PS3.18 Table 10.6.1-5, conformance §5.3)."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from app import bootstrap
from tests.support.dicomweb import PartitionClient, value
from tests.support.faulty_engine import Faults
from tests.support.instances import CT_STORAGE, make_instance
from tests.support.query_tags import add_and_index, post_tags

S1, S2, S3 = "2.25.1", "2.25.2", "2.25.3"
VOLUME = "1.2.840.10008.5.1.4.1.1.77.1.6"  # VL Whole Slide Microscopy Image Storage


def request(step: str | None, procedure: str | None) -> Dataset:
    """Return an item of RequestAttributesSequence."""
    item = Dataset()
    if step:
        item.ScheduledProcedureStepID = step
    if procedure:
        item.RequestedProcedureID = procedure
    return item


FILES: list[dict[str, Any]] = [
    {"study": S1, "series": f"{S1}.1", "instance": f"{S1}.1.1", "StudyTime": "0900", "StudyID": "OLD"},
    {
        "study": S1,
        "series": f"{S1}.1",
        "instance": f"{S1}.1.2",
        "StudyTime": "101500",
        "StudyID": "ID1",
        "SeriesNumber": " 1",
        "InstanceNumber": "2",
        "RequestAttributesSequence": [request("STEP1", "PROC1"), request("STEP2", None)],
    },
    {
        "study": S2,
        "series": f"{S2}.1",
        "instance": f"{S2}.1.1",
        "StudyTime": "101500.0",
        "StudyID": "id1",
        "SeriesNumber": "7",
        "InstanceNumber": "007",
        "PerformedProcedureStepStartTime": "0730",
        "SOPClassUID": VOLUME,
        "RequestAttributesSequence": [request("step2", "PROC2")],
    },
    {
        "study": S3,
        "series": f"{S3}.1",
        "instance": f"{S3}.1.1",
        "StudyTime": "235959",
        "SeriesNumber": None,
        "InstanceNumber": None,
    },
]


@pytest.fixture(autouse=True)
def stored(clinic: PartitionClient) -> None:
    for file in FILES:
        clinic.stored(make_instance(**{"pixel": False, **file}))


def found(caller: PartitionClient, path: str, tag: str) -> list[str]:
    response = caller.get(path)
    assert response.status_code in (200, 204), response.text
    return [value(row, tag) for row in response.get_json(force=True)] if response.data else []


STEP = "RequestAttributesSequence.ScheduledProcedureStepID"
CASES = [
    ("/studies?StudyTime=101500", [S2, S1]),
    ("/studies?00080030=1015", [S2, S1]),
    ("/studies?StudyTime=10-11", [S2, S1]),
    ("/studies?StudyTime=1100-", [S3]),
    ("/studies?StudyTime=-1100&PatientID=P1", [S2, S1]),
    ("/studies?StudyTime=0900", []),  # the newest instance counts
    ("/studies?StudyID=ID1", [S2, S1]),
    ("/studies?StudyID=ID1&limit=1", [S2]),
    ("/studies?StudyID=ID1&limit=1&offset=1", [S1]),
    ("/studies?00200010=i*", [S2, S1]),
    ("/studies?StudyID=ID1&StudyTime=2300-", []),
    ("/studies?StudyID=&StudyTime=*", [S3, S2, S1]),
    (f"/studies?StudyID=ID1&StudyInstanceUID={S1},{S3}", [S1]),
    ("/studies?StudyID=ID1&PatientName=doe&fuzzymatching=true", [S2, S1]),
    ("/studies?StudyID=ID1&ModalitiesInStudy=CT", [S2, S1]),
    ("/studies?StudyID=ID1&ModalitiesInStudy=MR", []),
    ("/series?SeriesNumber=7", [S2]),
    ("/series?SeriesNumber=1", [S1]),
    ("/series?SeriesNumber=01&Modality=CT", [S1]),
    ("/series?SeriesNumber=", [S3, S2, S1]),
    (f"/studies/{S2}/series?SeriesNumber=7", [S2]),
    (f"/studies/{S2}/series?SeriesNumber=1", []),
    ("/series?StudyID=ID1&SeriesNumber=7", [S2]),
    ("/series?PerformedProcedureStepStartTime=073000", [S2]),
    ("/series?00400245=0700-0800&SeriesNumber=7", [S2]),
    (f"/series?{STEP}=STEP1", [S1]),
    (f"/series?{STEP}=step2", [S2, S1]),
    ("/series?00400275.00400009=STEP2", [S2, S1]),
    ("/series?RequestAttributesSequence.00400009=STEP?", [S2, S1]),
    ("/series?ScheduledProcedureStepID=STEP2", [S2, S1]),
    ("/series?00400009=STEP2", [S2, S1]),
    ("/series?RequestedProcedureID=PROC2", [S2]),
    ("/series?RequestAttributesSequence.RequestedProcedureID=PROC1&ScheduledProcedureStepID=STEP2", [S1]),
    ("/instances?RequestedProcedureID=PROC2", [S2]),
    (f"/studies/{S1}/instances?RequestedProcedureID=PROC1", [S1, S1]),
    ("/instances?StudyID=ID1", [S2, S1, S1]),
    ("/instances?InstanceNumber=7", [S2]),
    ("/instances?InstanceNumber=2", [S1]),
    (f"/studies/{S1}/series/{S1}.1/instances?InstanceNumber=2", [S1]),
    (f"/instances?SOPClassUID={VOLUME}", [S2]),
    (f"/instances?SOPClassUID={VOLUME},{CT_STORAGE}", [S3, S2, S1, S1]),
    (f"/instances?00080016={CT_STORAGE}&limit=2&offset=1", [S1, S1]),
    (f"/instances?SOPClassUID={VOLUME}&StudyInstanceUID={S2}&includefield=AvailableTransferSyntaxUID", [S2]),
    (f"/instances?SOPClassUID={VOLUME}&StudyInstanceUID={S1}", []),
]


def test_each_attribute_finds_its_objects(clinic: PartitionClient, strict: PartitionClient) -> None:
    for caller in (clinic, strict):
        for path, studies in CASES:
            assert found(caller, f"{path}&includefield=0020000D", "0020000D") == studies, path


@pytest.mark.parametrize(
    ("path", "tag"),
    [
        ("/studies?StudyTime=101500", "00080030"),
        ("/studies?StudyID=", "00200010"),
        ("/series?SeriesNumber=7", "00200011"),
        (f"/series?{STEP}=STEP2", "00400275"),
        ("/series?RequestedProcedureID=PROC2", "00400275"),
        ("/instances?InstanceNumber=7", "00200013"),
        (f"/instances?SOPClassUID={VOLUME}", "00080016"),
    ],
)
def test_the_attribute_is_returned(clinic: PartitionClient, strict: PartitionClient, path: str, tag: str) -> None:
    for caller in (clinic, strict):
        response = caller.get(path)
        assert any(tag in row for row in response.get_json(force=True))
        assert not any("." in name for row in response.get_json(force=True) for name in row)


NOT_QUERYABLE = "Invalid query: AttributeId {} is not queryable."
SEQUENCE = "Dicom element '{}' failed validation for VR 'SQ': Sequential dicom tags are currently not supported."


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/studies?SeriesNumber=1", NOT_QUERYABLE.format("SeriesNumber")),
        ("/studies?SOPClassUID=1.2", NOT_QUERYABLE.format("SOPClassUID")),
        (f"/studies?{STEP}=1", NOT_QUERYABLE.format(STEP)),
        ("/series?InstanceNumber=1", NOT_QUERYABLE.format("InstanceNumber")),
        (f"/studies/{S1}/series?StudyID=1", NOT_QUERYABLE.format("StudyID")),
        ("/series?RequestAttributesSequence=1", SEQUENCE.format("RequestAttributesSequence")),
        (
            "/series?RequestAttributesSequence.AccessionNumber=1",
            SEQUENCE.format("RequestAttributesSequence.AccessionNumber"),
        ),
        ("/series?ReferencedSeriesSequence.00400009=1", SEQUENCE.format("ReferencedSeriesSequence.00400009")),
        ("/studies?StudyTime=25", "Invalid query: specified Time value '25' is invalid for attribute 'StudyTime'."),
        ("/series?SeriesNumber=x", "Invalid query: specified value 'x' is not a number for attribute 'SeriesNumber'."),
        ("/instances?SOPClassUID=x", "Dicom element 'SOPClassUID' failed validation for VR 'UI'"),
        (
            f"/series?{STEP}=1&ScheduledProcedureStepID=1",
            "Invalid query: attribute 'ScheduledProcedureStepID' has been specified more than once",
        ),
    ],
)
def test_what_is_refused(clinic: PartitionClient, path: str, text: str) -> None:
    response = clinic.get(path)
    assert (response.status_code, response.text[: len(text)]) == (400, text)


def test_a_match_follows_the_newest_instance(clinic: PartitionClient) -> None:
    assert clinic.delete(f"/studies/{S1}/series/{S1}.1/instances/{S1}.1.2").status_code == 204
    assert found(clinic, "/studies?StudyID=ID1", "0020000D") == [S2]
    assert found(clinic, "/studies?StudyID=OLD", "0020000D") == [S1]


def test_the_metadata_is_read_of_objects_alone_that_satisfy_the_other_filters(
    clinic: PartitionClient, faults: Faults, engine: bootstrap.Engine
) -> None:
    """On DynamoDB a date has several lists. There the rows of the few candidates of StudyID are read instead."""
    faults.calls.clear()
    assert found(clinic, "/studies?StudyID=ID1&StudyDate=19000101", "0020000D") == []
    assert faults.calls["table.get_many"] == (1 if engine.row_shards > 1 else 0)


def test_a_query_by_sop_class_within_a_study_reads_no_metadata(clinic: PartitionClient, faults: Faults) -> None:
    faults.calls.clear()
    path = f"/instances?SOPClassUID={VOLUME}&StudyInstanceUID={S2}&includefield=AvailableTransferSyntaxUID"
    assert found(clinic, path, "00080018") == [f"{S2}.1.1"]
    assert faults.calls["table.get_many"] == 0


def test_an_extended_query_tag_of_its_level_gives_an_attribute_postings(
    clinic: PartitionClient, faults: Faults
) -> None:
    add_and_index(clinic.client, {"path": "StudyID", "level": "Study"})
    assert found(clinic, "/studies?StudyID=ID1", "0020000D") == [S2, S1]
    faults.calls.clear()
    assert found(clinic, "/studies?StudyID=NONE", "0020000D") == []
    assert faults.calls["table.get_many"] == 0


def test_an_extended_query_tag_of_another_level_or_not_ready_changes_nothing(clinic: PartitionClient) -> None:
    assert post_tags(clinic.client, {"path": "StudyID", "level": "Instance"}).status_code == 202
    for path, studies in (("/studies?StudyID=ID1", [S2, S1]), ("/instances?StudyID=ID1", [S2, S1, S1])):
        assert found(clinic, f"{path}&includefield=0020000D", "0020000D") == studies


@pytest.mark.parametrize(
    "name",
    [
        "RequestAttributesSequence",
        "RequestAttributesSequence.RequestedProcedureID",
        "00400275.00400009",
        "RequestAttributesSequence.00400009",
    ],
)
def test_includefield_of_an_attribute_in_a_sequence_returns_the_sequence(clinic: PartitionClient, name: str) -> None:
    (row,) = clinic.get(f"/series?SeriesInstanceUID={S1}.1&includefield={name}").get_json(force=True)
    assert [each["00400009"]["Value"] for each in row["00400275"]["Value"]] == [["STEP1"], ["STEP2"]]


@pytest.mark.parametrize("name", ["RequestAttributesSequence.Nonsense", ".", "00400275.", ".00400009", "a.b"])
def test_includefield_of_an_unknown_path_is_400(clinic: PartitionClient, name: str) -> None:
    answer = clinic.get(f"/series?includefield={name}")
    assert (answer.status_code, answer.text) == (
        400,
        f"Invalid query: IncludeField has unknown attribute '{name}'.",
    )
