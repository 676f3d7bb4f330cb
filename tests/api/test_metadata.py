"""Metadata and its entity tags through HTTP (conformance §4.7, §4.8)."""

from __future__ import annotations

import re

import pytest

from tests.support.dicomweb import DICOM_JSON, PartitionClient, value
from tests.support.instances import make_instance, uid

STUDY, SERIES, INSTANCE = "2.25.1", "2.25.2", "2.25.3"
UIDS = {"study": STUDY, "series": SERIES, "instance": INSTANCE}
PATHS = {
    "study": f"/studies/{STUDY}/metadata",
    "series": f"/studies/{STUDY}/series/{SERIES}/metadata",
    "instance": f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}/metadata",
}


@pytest.mark.parametrize("level", PATHS)
@pytest.mark.parametrize("accept", [None, DICOM_JSON, "application/json", "application/*", "*/*"])
def test_the_dataset_of_an_instance(clinic: PartitionClient, level: str, accept: str | None) -> None:
    clinic.stored(make_instance(**UIDS, patient_name="Doe^Jane", InstanceNumber="7"))
    response = clinic.get(PATHS[level], accept)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == DICOM_JSON
    (found,) = response.get_json(force=True)
    assert value(found, "00080018") == INSTANCE
    assert found["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}
    assert found["00200013"] == {"vr": "IS", "Value": [7]}
    assert found["7FE00010"].keys() == {"vr", "BulkDataURI"}
    assert not any(tag.startswith("0002") for tag in found)


def test_each_level_returns_its_own_instances(clinic: PartitionClient) -> None:
    series = uid()
    clinic.stored(
        make_instance(**UIDS),
        make_instance(study=STUDY, series=SERIES),
        make_instance(study=STUDY, series=series),
        make_instance(),
    )
    counts = [len(clinic.get(path).get_json(force=True)) for path in PATHS.values()]
    assert counts == [3, 2, 1]


def test_the_metadata_of_a_large_study_is_streamed(clinic: PartitionClient) -> None:
    instances = sorted(uid() for _ in range(30))
    comments = "x" * 10_000
    clinic.stored(*[make_instance(study=STUDY, instance=each, ImageComments=comments) for each in instances])
    found = clinic.get(PATHS["study"]).get_json(force=True)
    assert sorted(value(each, "00080018") for each in found) == instances
    assert {value(each, "00204000") for each in found} == {comments}


@pytest.mark.parametrize(
    "accept", ["application/dicom", "text/html", "application/xml", 'multipart/related; type="x/y"']
)
def test_another_accept_is_406(clinic: PartitionClient, accept: str) -> None:
    clinic.stored(make_instance(**UIDS))
    response = clinic.get(PATHS["study"], accept)
    assert (response.status_code, response.data) == (406, b"")


def test_the_etag_has_the_newest_watermark_and_the_count(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS))
    tags = {level: clinic.get(path).headers["ETag"] for level, path in PATHS.items()}
    assert re.fullmatch(r'"\d+"', tags["instance"])
    watermark = tags["instance"].strip('"')
    assert tags["study"] == tags["series"] == f'"{watermark}-1"'
    clinic.stored(make_instance(study=STUDY))
    after = {level: clinic.get(path).headers["ETag"] for level, path in PATHS.items()}
    assert after["study"].endswith('-2"')
    assert (after["series"], after["instance"]) == (tags["series"], tags["instance"])


def test_the_original_metadata_has_another_entity_tag(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS))
    current = clinic.get(PATHS["study"]).headers["ETag"]
    original = clinic.get(PATHS["study"], msdicom_request_original="true").headers["ETag"]
    assert original == current[:-1] + '-o"'


@pytest.mark.parametrize("level", PATHS)
@pytest.mark.parametrize("form", ['"{}"', "{}", 'W/"{}"', '"x", "{}"', "*", ' "{}" ', '"x","y", W/"{}"'])
def test_a_matching_entity_tag_gives_304(clinic: PartitionClient, level: str, form: str) -> None:
    clinic.stored(make_instance(**UIDS))
    tag = clinic.get(PATHS[level]).headers["ETag"]
    response = clinic.get(PATHS[level], If_None_Match=form.format(tag.strip('"')))
    assert (response.status_code, response.data, response.headers["ETag"]) == (304, b"", tag)


@pytest.mark.parametrize("given", ['"x"', "", '"1', "-", "99999999", ","])
def test_another_entity_tag_gives_the_metadata(clinic: PartitionClient, given: str) -> None:
    clinic.stored(make_instance(**UIDS))
    assert clinic.get(PATHS["study"], If_None_Match=given).status_code == 200


def test_a_missing_study_is_404_whatever_the_entity_tag(clinic: PartitionClient) -> None:
    clinic.stored(make_instance())
    response = clinic.get(PATHS["study"], If_None_Match="*")
    assert (response.status_code, response.text) == (404, "The specified study cannot be found.")


def test_the_entity_tag_changes_with_a_delete_and_with_a_store(clinic: PartitionClient) -> None:
    file = make_instance(**UIDS)
    clinic.stored(file)
    before = {level: clinic.get(path).headers["ETag"] for level, path in PATHS.items()}
    clinic.delete(f"/studies/{STUDY}")
    clinic.stored(file)
    for level, path in PATHS.items():
        assert clinic.get(path, If_None_Match=before[level]).status_code == 200
