"""What a bulk update changes, and the original version that it keeps (conformance §12.5 to §12.7)."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient

from app.dicom.encoding.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from tests.support.background import work
from tests.support.bulk_update import (
    CHANGES,
    INSTANCE,
    LEVELS,
    NAME,
    ORIGINAL,
    OTHER,
    PATH,
    PATIENT_ID,
    SERIES,
    STUDY,
    current_file,
    embedded_only,
    etag,
    metadata,
    update,
)
from tests.support.dicomweb import AS_STORED, PartitionClient, parts, value
from tests.support.instances import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    IMPLICIT_LITTLE,
    encapsulated,
    frame,
    make_instance,
    read,
)

# --- new values -------------------------------------------------------------------------------------------------------


def test_files_hold_the_new_values_and_keep_the_others(clinic: PartitionClient, study_to_update: bytes) -> None:
    update(clinic)
    before, after = read(study_to_update), read(current_file(clinic))
    assert (str(after.PatientName), after.PatientID, after.PatientComments) == ("Smith^John", "MRN-7", "A comment")
    assert after.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert after.file_meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    for name in ("PatientName", "PatientID", "PatientComments"):
        before.pop(name, None)
        after.pop(name)
    assert before == after


@embedded_only
@pytest.mark.parametrize("number", [".123456789012345", "100000000000000.", 154 / 2.2046])
def test_decimal_string_of_any_length(clinic: PartitionClient, study_to_update: bytes, number: str | float) -> None:
    """A DS value has at most 16 characters as text. As a JSON number it may have more, and its meaning is kept."""
    update(clinic, **{"00101030": {"vr": "DS", "Value": [number]}, PATIENT_ID: {"vr": "LO", "Value": ["MRN-7"]}})
    dataset = read(current_file(clinic))
    assert dataset.PatientID == "MRN-7"
    assert float(dataset.PatientWeight) == pytest.approx(float(number), rel=1e-12)


def test_metadata_hold_the_new_values_and_keep_the_others(clinic: PartitionClient, study_to_update: bytes) -> None:
    before = metadata(clinic, PATH)[0]
    update(clinic)
    assert metadata(clinic, PATH)[0] == before | CHANGES
    assert all(document[PATIENT_ID] == CHANGES[PATIENT_ID] for document in metadata(clinic, LEVELS["study"]))
    assert len(metadata(clinic, LEVELS["series"])) == 2


def test_results_count_studies_and_instances(clinic: PartitionClient, study_to_update: bytes) -> None:
    operation = update(clinic, STUDY, "2.25.404", OTHER, STUDY)
    assert (operation["type"], operation["status"], operation["percentComplete"]) == ("update", "succeeded", 100)
    assert operation["results"] == {"studyProcessed": 3, "studyUpdated": 2, "studyFailed": 0, "instanceUpdated": 4}
    assert "resources" not in operation


def test_other_studies_and_partitions_are_unchanged(
    clinic: PartitionClient, client: FlaskClient, study_to_update: bytes
) -> None:
    elsewhere = PartitionClient(client, "/v2/partitions/clinic-b")
    elsewhere.stored(study_to_update)
    update(clinic)
    assert metadata(clinic, f"/studies/{OTHER}")[0][PATIENT_ID]["Value"] == ["P1"]
    assert metadata(elsewhere, PATH)[0][PATIENT_ID]["Value"] == ["P1"]
    assert current_file(elsewhere) == study_to_update


def test_searches_find_the_new_values(clinic: PartitionClient, study_to_update: bytes) -> None:
    attributes = {
        **CHANGES,
        "00100030": {"vr": "DA", "Value": ["19800229"]},
        "00080090": {"vr": "PN", "Value": [{"Alphabetic": "House^Gregory"}]},
        "00081030": {"vr": "LO", "Value": ["Brain"]},
        "00080050": {"vr": "SH", "Value": ["A-77"]},
    }
    update(clinic, **attributes)
    for query in (
        "PatientID=MRN-7",
        "PatientName=Smith*",
        "PatientName=john&fuzzymatching=true",
        "PatientBirthDate=19800101-19801231",
        "ReferringPhysicianName=House^Gregory",
        "StudyDescription=Brain",
        "AccessionNumber=A-77",
    ):
        (found,) = json.loads(clinic.get(f"/studies?{query}&includefield=00201208").data)
        assert value(found, "0020000D") == STUDY
        assert value(found, "00201208") == 3
        assert {tag: found[tag] for tag in attributes if tag in found} == {
            tag: attributes[tag] for tag in attributes if tag in found
        }
    assert len(json.loads(clinic.get("/instances?PatientID=MRN-7").data)) == 3
    for query in ("PatientID=P1", "PatientName=Doe*", "PatientName=doe&fuzzymatching=true"):
        (left,) = json.loads(clinic.get(f"/studies?{query}").data)
        assert value(left, "0020000D") == OTHER


def test_etags_change_at_every_level(clinic: PartitionClient, study_to_update: bytes) -> None:
    before = {level: etag(clinic, path) for level, path in LEVELS.items()}
    update(clinic)
    after = {level: etag(clinic, path) for level, path in LEVELS.items()}
    assert not set(before.values()) & set(after.values())
    assert [each.rpartition("-")[2] for each in after.values()][:2] == ['3"', '2"']
    given = {"If_None_Match": before["study"]}
    assert clinic.get(LEVELS["study"] + "/metadata", **given).status_code == 200


def test_feed_has_an_update_entry_for_each_instance(
    clinic: PartitionClient, client: FlaskClient, study_to_update: bytes
) -> None:
    update(clinic)
    entries = client.get("/v2/changefeed").get_json()
    assert [(each["action"], each["state"]) for each in entries] == [
        ("Create", "Replaced"),
        ("Create", "Replaced"),
        ("Create", "Replaced"),
        ("Create", "Current"),
        *[("Update", "Current")] * 3,
    ]
    assert {each["metadata"][PATIENT_ID]["Value"][0] for each in entries if each["studyInstanceUid"] == STUDY} == {
        "MRN-7"
    }
    by_number = client.get("/v1/changefeed?limit=100").get_json()
    assert [each["action"] for each in by_number] == ["Create"] * 4 + ["Update"] * 3


@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE])
def test_frames_are_unchanged(clinic: PartitionClient, syntax: str) -> None:
    made = make_instance(study=STUDY, series=SERIES, instance=INSTANCE, transfer_syntax=syntax, frames=3)
    clinic.stored(made)
    before = clinic.get(PATH + "/frames/2,3", 'multipart/related; type="application/octet-stream"; transfer-syntax=*')
    update(clinic)
    update(clinic, **{PATIENT_ID: {"vr": "LO", "Value": ["a much longer identifier than before"]}})
    after = clinic.get(PATH + "/frames/2,3", 'multipart/related; type="application/octet-stream"; transfer-syntax=*')
    assert parts(after) == parts(before)
    if syntax != EXPLICIT_BIG:
        assert parts(after)[0].body == frame(1, 4, 4)
    assert read(current_file(clinic)).file_meta.TransferSyntaxUID == syntax


def test_compressed_frames_are_unchanged(clinic: PartitionClient) -> None:
    made = encapsulated(
        [[b"one!", b"more"], [b"two!"]],
        study=STUDY,
        series=SERIES,
        instance=INSTANCE,
        SpecificCharacterSet="ISO_IR 100",
    )
    clinic.stored(made)
    update(clinic, **{NAME: {"vr": "PN", "Value": [{"Alphabetic": "大^史"}]}})
    found = clinic.get(PATH + "/frames/1,2", 'multipart/related; type="application/octet-stream"; transfer-syntax=*')
    assert [part.body for part in parts(found)] == [b"one!more", b"two!"]


@embedded_only
def test_text_is_converted_to_utf_8_if_a_new_value_needs_it(clinic: PartitionClient) -> None:
    made = make_instance(
        study=STUDY, series=SERIES, instance=INSTANCE, SpecificCharacterSet="ISO_IR 100", InstitutionName="Hôpital"
    )
    clinic.stored(made)
    update(clinic, **{NAME: {"vr": "PN", "Value": [{"Alphabetic": "Jäger^Jörg"}]}})
    assert read(current_file(clinic)).SpecificCharacterSet == "ISO_IR 100"
    name = {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}
    update(clinic, **{NAME: {"vr": "PN", "Value": [name]}})
    found = read(current_file(clinic))
    assert (found.SpecificCharacterSet, found.InstitutionName) == ("ISO_IR 192", "Hôpital")
    assert str(found.PatientName) == "Yamada^Tarou=山田^太郎"
    (document,) = metadata(clinic, PATH)
    assert document["00080005"]["Value"] == ["ISO_IR 192"]
    assert document[NAME]["Value"] == [name]
    assert document["00080080"]["Value"] == ["Hôpital"]


def test_extended_query_tags_find_the_new_values_at_each_level(clinic: PartitionClient, client: FlaskClient) -> None:
    levels = {"PatientAge": "study", "OtherPatientNames": "series", "Occupation": "instance"}
    tags = [{"path": tag, "level": level} for tag, level in levels.items()]
    assert client.post("/v2/extendedquerytags", json=tags).status_code == 202
    old = {"PatientAge": "030Y", "OtherPatientNames": "Old^Name", "Occupation": "Carpenter"}
    clinic.stored(
        make_instance(study=STUDY, **old), make_instance(study=STUDY, **old), make_instance(study=OTHER, **old)
    )
    work(client)
    changed = {
        "00101010": {"vr": "AS", "Value": ["044Y"]},
        "00101001": {"vr": "PN", "Value": [{"Alphabetic": "New^Name"}]},
        "00102180": {"vr": "SH", "Value": ["Baker"]},
    }
    update(clinic, **changed)
    for (tag, level), new in zip(levels.items(), ("044Y", "New^Name", "Baker"), strict=True):
        resource = {"study": "studies", "series": "series", "instance": "instances"}[level]
        found = json.loads(clinic.get(f"/{resource}?{tag}={new}").data)
        assert {value(each, "0020000D") for each in found} == {STUDY}
        left = json.loads(clinic.get(f"/{resource}?{tag}={old[tag]}").data)
        assert {value(each, "0020000D") for each in left} == {OTHER}


# --- the original version ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["true", "TRUE", "True, false", " true "])
@pytest.mark.parametrize("level", LEVELS)
def test_original_version_is_kept(clinic: PartitionClient, study_to_update: bytes, level: str, header: str) -> None:
    before = etag(clinic, LEVELS[level])
    update(clinic)
    update(clinic, **{PATIENT_ID: {"vr": "LO", "Value": ["MRN-8"]}})
    given = {"msdicom_request_original": header}
    bodies = [part.body for part in parts(clinic.get(LEVELS[level], AS_STORED, **given))]
    assert study_to_update in bodies
    assert {read(body).PatientID for body in bodies} == {"P1"}
    assert {document[PATIENT_ID]["Value"][0] for document in metadata(clinic, LEVELS[level], **given)} == {"P1"}
    current = etag(clinic, LEVELS[level])
    assert etag(clinic, LEVELS[level], **given) == current[:-1] + '-o"'
    assert before != current
    not_changed = clinic.get(LEVELS[level] + "/metadata", If_None_Match=current[:-1] + '-o"', **given)
    assert not_changed.status_code == 304


@embedded_only
@pytest.mark.parametrize("header", ["false", "1", "yes", "", "false, true"])
def test_without_the_header_the_current_version_is_returned(
    clinic: PartitionClient, study_to_update: bytes, header: str
) -> None:
    update(clinic)
    assert read(current_file(clinic, msdicom_request_original=header)).PatientID == "MRN-7"
    assert metadata(clinic, PATH, msdicom_request_original=header)[0][PATIENT_ID]["Value"] == ["MRN-7"]


def test_instance_without_an_update_is_its_own_original(clinic: PartitionClient, study_to_update: bytes) -> None:
    assert current_file(clinic, **ORIGINAL) == study_to_update
    assert etag(clinic, PATH, **ORIGINAL) == etag(clinic, PATH)[:-1] + '-o"'
