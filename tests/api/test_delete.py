"""conformance §6 through HTTP."""

from __future__ import annotations

import pytest

from app.errors import IDENTIFIER_RULE
from tests.support.dicomweb import AS_STORED, PartitionClient, parts, value
from tests.support.instances import make_instance

STUDY, SERIES, INSTANCE = "2.25.1", "2.25.2", "2.25.3"
LEVELS = {
    "study": f"/studies/{STUDY}",
    "series": f"/studies/{STUDY}/series/{SERIES}",
    "instance": f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}",
}


@pytest.fixture
def file(clinic: PartitionClient) -> bytes:
    """A stored instance."""
    made = make_instance(study=STUDY, series=SERIES, instance=INSTANCE)
    clinic.stored(made)
    return made


@pytest.mark.parametrize("level", LEVELS)
def test_a_delete_is_204_and_shows_at_once(clinic: PartitionClient, file: bytes, level: str) -> None:
    response = clinic.delete(LEVELS[level])
    assert (response.status_code, response.data) == (204, b"")
    assert "Content-Type" not in response.headers
    for gone, path in LEVELS.items():
        missing = clinic.get(path)
        assert (missing.status_code, missing.text) == (404, f"The specified {gone} cannot be found.")
        assert clinic.get(f"{path}/metadata").status_code == 404
    assert clinic.get("/studies").status_code == 204
    assert clinic.get("/series").status_code == 204
    assert clinic.get("/instances").status_code == 204


@pytest.mark.parametrize("level", LEVELS)
def test_a_second_delete_is_404(clinic: PartitionClient, file: bytes, level: str) -> None:
    clinic.delete(LEVELS[level])
    response = clinic.delete(LEVELS[level])
    assert (response.status_code, response.text) == (404, f"The specified {level} cannot be found.")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/studies/not-a-uid", "StudyInstanceUid"),
        (f"/studies/{STUDY}/series/x", "SeriesInstanceUid"),
        (f"/studies/{STUDY}/series/{SERIES}/instances/1.2.", "SopInstanceUid"),
    ],
)
def test_an_invalid_uid_is_400(clinic: PartitionClient, path: str, name: str) -> None:
    response = clinic.delete(path)
    text = f"Dicom element '{name}' failed validation for VR 'UI': {IDENTIFIER_RULE}"
    assert (response.status_code, response.text) == (400, text)


def test_no_accept_is_asked_for(clinic: PartitionClient, file: bytes) -> None:
    response = clinic.client.delete(clinic.prefix + LEVELS["study"], headers={"Accept": "image/gif"})
    assert response.status_code == 204


def test_one_of_two_leaves_the_other_and_the_counts(clinic: PartitionClient, file: bytes) -> None:
    clinic.stored(make_instance(study=STUDY, series=SERIES, instance="2.25.4", modality="MR"))
    before = clinic.get(LEVELS["study"] + "/metadata").headers["ETag"]
    clinic.delete(LEVELS["instance"])
    (row,) = clinic.get("/studies?includefield=NumberOfStudyRelatedInstances").get_json(force=True)
    assert value(row, "00201208") == 1
    after = clinic.get(LEVELS["study"] + "/metadata").headers["ETag"]
    assert (before[-3:], after[-3:]) == ('-2"', '-1"')
    assert clinic.get(LEVELS["series"]).status_code == 200


def test_a_series_elsewhere_is_not_touched(clinic: PartitionClient, file: bytes) -> None:
    clinic.stored(make_instance(study=STUDY, series="2.25.20"))
    clinic.delete(LEVELS["series"])
    assert clinic.get(f"/studies/{STUDY}/series/2.25.20").status_code == 200
    assert len(clinic.get(f"/studies/{STUDY}/series").get_json(force=True)) == 1


def test_another_partition_is_not_touched(clinic: PartitionClient, file: bytes) -> None:
    other = PartitionClient(clinic.client, "/v2/partitions/clinic-b")
    other.stored(file)
    clinic.delete(LEVELS["study"])
    assert parts(other.get(LEVELS["study"], AS_STORED))[0].body == file


@pytest.mark.parametrize("level", LEVELS)
def test_the_same_may_be_stored_again_as_a_new_version(clinic: PartitionClient, file: bytes, level: str) -> None:
    before = clinic.get(LEVELS["instance"] + "/metadata").headers["ETag"]
    clinic.delete(LEVELS[level])
    clinic.stored(file)
    assert clinic.get(LEVELS["instance"] + "/metadata").headers["ETag"] != before
    assert parts(clinic.get(LEVELS["instance"], AS_STORED))[0].body == file


def test_a_series_of_another_study_is_404(clinic: PartitionClient, file: bytes) -> None:
    clinic.stored(make_instance(study="2.25.10", series="2.25.20"))
    response = clinic.delete(f"/studies/{STUDY}/series/2.25.20")
    assert (response.status_code, response.text) == (404, "The specified series cannot be found.")
    assert clinic.get("/studies/2.25.10").status_code == 200
