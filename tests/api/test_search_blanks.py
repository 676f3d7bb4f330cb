"""Spaces at both ends of a value do not count, neither in a query nor in a file (PS3.5 §6.2, conformance §5.4)."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.support.dicomweb import PartitionClient, value
from tests.support.instances import make_instance

STUDY, OTHER = "2.25.1", "2.25.2"


@pytest.fixture(autouse=True)
def stored(clinic: PartitionClient) -> None:
    """A study whose values have spaces at both ends, and one without such spaces."""
    clinic.stored(
        make_instance(
            study=STUDY,
            patient_id="  P7 ",
            patient_name=" Jones^Tom ",
            AccessionNumber=" A7",
            StudyID=" 17",
            ReferringPhysicianName="  House^Greg",
        ),
        make_instance(study=OTHER, patient_id="P8", patient_name="Smith^Ann"),
    )


@pytest.mark.parametrize(
    "query",
    [
        "PatientID=P7",
        "PatientID=  P7",
        "PatientID= p7  ",
        "PatientID=P7*",
        "PatientID=?7",
        "PatientName=Jones^Tom",
        "PatientName= jones^tom",
        "PatientName=Jones*",
        "PatientName=Jones^Tom=",
        "PatientName=tom&fuzzymatching=true",
        "AccessionNumber=A7",
        "StudyID=17",
        "ReferringPhysicianName=House^Greg",
        "ReferringPhysicianName=House*=*",
    ],
)
def test_a_value_with_spaces_is_found(clinic: PartitionClient, query: str) -> None:
    response = clinic.get(f"/studies?{quote(query, safe='=&')}")
    assert response.status_code == 200
    assert [value(row, "0020000D") for row in response.get_json(force=True)] == [STUDY]


def test_a_value_is_returned_as_it_is_stored(clinic: PartitionClient) -> None:
    (row,) = clinic.get("/studies?PatientID=P7").get_json(force=True)
    assert value(row, "00100020") == "  P7"  # JSON has no trailing spaces


def test_a_deletion_leaves_no_value_behind(clinic: PartitionClient) -> None:
    assert clinic.delete(f"/studies/{STUDY}").status_code == 204
    assert clinic.get("/studies?PatientID=*7*").status_code == 204
