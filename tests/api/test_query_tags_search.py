"""Searches by extended query tags, and the values that are indexed (conformance §5.9, §8.6)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from pydicom.dataelem import DataElement

from tests.support.background import work
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance, uid
from tests.support.query_tags import (
    AGE,
    PRIVATE,
    add_and_index,
    found_uids,
    get_tag,
    post_tags,
    private_block,
)

# --- search -----------------------------------------------------------------------------------------------------------


def test_tag_is_not_searchable_before_it_is_ready(client: FlaskClient, clinic: PartitionClient) -> None:
    post_tags(client, AGE)
    clinic.stored(make_instance())
    response = clinic.get("/studies?PatientAge=030Y")
    assert response.status_code == 400
    assert response.text.startswith("Invalid query: AttributeId PatientAge is not queryable.  If the parameter")
    work(client)
    assert clinic.get("/studies?PatientAge=030Y").status_code == 204


@pytest.mark.parametrize("tag_added", ["before", "after"])
def test_tag_finds_objects_of_its_level_and_below(client: FlaskClient, clinic: PartitionClient, tag_added: str) -> None:
    tags = (
        AGE,
        {"path": "BodyPartExamined", "level": "Series"},
        {"path": "InstanceNumber", "level": "Instance"},
    )
    if tag_added == "before":
        add_and_index(client, *tags)
    study, series, instance = uid(), uid(), uid()
    there = {"PatientAge": "030Y", "BodyPartExamined": "KNEE", "InstanceNumber": "7"}
    clinic.stored(
        make_instance(study=study, series=series, instance=instance, **there),
        make_instance(PatientAge="031Y", BodyPartExamined="HEAD", InstanceNumber="8"),
    )
    PartitionClient(client, "/v2/partitions/other").stored(make_instance(**there))
    if tag_added == "after":
        add_and_index(client, *tags)
    assert found_uids(clinic, "/studies?PatientAge=030Y") == [study]
    assert found_uids(clinic, "/series?PatientAge=030Y") == [series]
    assert found_uids(clinic, "/instances?PatientAge=030Y") == [instance]
    assert found_uids(clinic, "/series?BodyPartExamined=knee") == [series]
    assert found_uids(clinic, "/instances?BodyPartExamined=KNEE&PatientAge=030Y") == [instance]
    assert found_uids(clinic, "/instances?InstanceNumber=0007") == [instance]
    assert found_uids(clinic, "/instances?InstanceNumber=8&PatientAge=030Y") == []
    assert found_uids(clinic, f"/studies/{study}/instances?InstanceNumber=7") == [instance]
    for query in (
        "/studies?BodyPartExamined=KNEE",
        "/series?InstanceNumber=7",
        f"/studies/{study}/series?PatientAge=1",
    ):
        assert "is not queryable" in clinic.get(query).text
    row = clinic.get("/studies?PatientAge=030Y").get_json(force=True)[0]
    assert row["00101010"] == {"vr": "AS", "Value": ["030Y"]}


@pytest.mark.parametrize("tag_added", ["before", "after"])
@pytest.mark.parametrize(
    ("keyword", "stored", "query", "matches"),
    [
        ("AcquisitionDate", "20240115", "20240101-20240131", True),
        ("AcquisitionDate", "20240115", "-20231231", False),
        ("AcquisitionTime", "101500.5", "10-11", True),
        ("AcquisitionTime", "000000", "000000", True),
        ("AcquisitionDateTime", "20240115101500.000000+0200", "20240115081500", True),
        ("AcquisitionDateTime", "20240115101500.000000+0200", "20240115101500", False),
        ("AcquisitionDateTime", "20240115101500", "2024-20241231", True),
        ("OperatorsName", "Dö^Jané Ann", "do jan", True),
        ("OperatorsName", "Dö^Jané Ann", "ne", False),
        ("InstanceNumber", "0", "0", True),
        ("InstanceNumber", "-3", "-0003", True),
        ("SamplesPerPixel", 3, "3.0", True),
        ("SelectorFDValue", 2.5, "2.50", True),
        ("SelectorFLValue", 2.5, "3", False),
        ("SelectorSLValue", -70000, "-70000", True),
        ("SelectorULValue", 4000000000, "4000000000", True),
        ("SelectorSSValue", -7, "-7", True),
        ("StationAETitle", "CT1", "ct1", True),
        ("InstitutionName", "Kantonsspital Zürich", "KANTONSSPITAL ZÜRICH", True),
        ("InstitutionName", "Kantonsspital", "Kanton", False),
        ("InstitutionName", "Kantonsspital", "Kanton*", True),
        ("FrameOfReferenceUID", "2.25.9", "2.25.9", True),
        ("PatientAge", "030Y", "030Y", True),
        ("StudyID", "17", "17", True),
        ("BodyPartExamined", "KNEE", "KNEE", True),
    ],
)
def test_values_match_by_their_vr(
    client: FlaskClient, clinic: PartitionClient, tag_added: str, keyword: str, stored: Any, query: str, matches: bool
) -> None:
    tag = {"path": keyword, "level": "Instance"}
    if tag_added == "before":
        add_and_index(client, tag)
    instance = uid()
    clinic.stored(make_instance(instance=instance, SpecificCharacterSet="ISO_IR 192", **{keyword: stored}))
    if tag_added == "after":
        add_and_index(client, tag)
    fuzzy = "&fuzzymatching=true" if keyword == "OperatorsName" else ""
    assert found_uids(clinic, f"/instances?{keyword}={quote(query)}{fuzzy}") == ([instance] if matches else [])


def test_filter_value_must_suit_the_vr(client: FlaskClient, clinic: PartitionClient) -> None:
    add_and_index(
        client, {"path": "InstanceNumber", "level": "Instance"}, {"path": "AcquisitionDate", "level": "Series"}
    )
    for query in ("InstanceNumber=x", "AcquisitionDate=2024", "AcquisitionDate=-", "InstanceNumber="):
        assert clinic.get(f"/instances?{query}").status_code == 400


@pytest.mark.parametrize("tag_added", ["before", "after"])
def test_private_tag_matches_only_the_block_of_its_creator(
    client: FlaskClient, clinic: PartitionClient, tag_added: str
) -> None:
    if tag_added == "before":
        add_and_index(client, PRIVATE)
    own, other, nobody = uid(), uid(), uid()
    clinic.stored(
        make_instance(instance=own, extra=private_block("ACME 1.0", 5)),
        make_instance(instance=other, extra=private_block("OTHER", 5)),
        make_instance(instance=nobody, extra=private_block(None, 5)),
    )
    if tag_added == "after":
        add_and_index(client, PRIVATE)
    assert found_uids(clinic, "/instances?12051003=5") == [own]
    assert get_tag(client, "12051003")["privateCreator"] == "ACME 1.0"
    assert "errors" not in get_tag(client, "12051003")


def test_standard_tag_outside_the_dictionary(client: FlaskClient, clinic: PartitionClient) -> None:
    add_and_index(client, {"path": "00100099", "vr": "LO", "level": "Study"})
    study = uid()
    clinic.stored(make_instance(study=study, extra=[DataElement(0x00100099, "LO", "x")]))
    assert found_uids(clinic, "/studies?00100099=x") == [study]


# --- indexed values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag_added", ["before", "after"])
def test_only_the_first_value_is_indexed(client: FlaskClient, strict: PartitionClient, tag_added: str) -> None:
    tag = {"path": "OtherPatientIDs", "level": "Study"}
    if tag_added == "before":
        add_and_index(client, tag)
    study = uid()
    response = strict.store(make_instance(study=study, OtherPatientIDs=["A", "B"]))
    assert response.status_code == 200
    assert ("Warning" in response.headers) == (tag_added == "before")
    if tag_added == "after":
        add_and_index(client, tag)
    assert found_uids(strict, "/studies?OtherPatientIDs=A") == [study]
    assert found_uids(strict, "/studies?OtherPatientIDs=B") == []


@pytest.mark.parametrize("tag_added", ["before", "after"])
def test_missing_and_null_values_are_not_indexed(client: FlaskClient, clinic: PartitionClient, tag_added: str) -> None:
    tags = [{"path": each, "level": "Instance"} for each in ("InstanceNumber", "SelectorSLValue", "AcquisitionDate")]
    if tag_added == "before":
        add_and_index(client, *tags)
    clinic.stored(make_instance(InstanceNumber=None), make_instance(InstanceNumber="", AcquisitionDate=""))
    if tag_added == "after":
        add_and_index(client, *tags)
    assert found_uids(clinic, "/instances?InstanceNumber=0") == []
    assert found_uids(clinic, "/instances?SelectorSLValue=0") == []
    assert found_uids(clinic, "/instances?AcquisitionDate=-99991231") == []


@pytest.mark.parametrize("tag_added", ["before", "after"])
def test_newest_instance_with_a_value_wins(client: FlaskClient, clinic: PartitionClient, tag_added: str) -> None:
    if tag_added == "before":
        add_and_index(client, AGE)
    study = uid()
    for age in ("010Y", "020Y", "030Y", None):
        clinic.stored(make_instance(study=study, PatientAge=age))
    if tag_added == "after":
        add_and_index(client, AGE)
    assert found_uids(clinic, "/studies?PatientAge=030Y") == [study]
    assert found_uids(clinic, "/studies?PatientAge=020Y") == []
    clinic.stored(make_instance(study=study, PatientAge="040Y"))
    assert found_uids(clinic, "/studies?PatientAge=040Y") == [study]
    assert found_uids(clinic, "/studies?PatientAge=030Y") == []


def test_invalid_value_fails_the_store_in_v1_and_is_dropped_in_v2(
    client: FlaskClient, clinic: PartitionClient, strict: PartitionClient
) -> None:
    add_and_index(client, AGE, PRIVATE)
    bad = make_instance(PatientAge="3Y")
    refused = strict.store(bad)
    assert refused.status_code == 409
    assert "(0010,1010)" in refused.text
    warned = clinic.store(bad)
    assert warned.status_code == 202
    assert "(0010,1010)" in warned.text
    other_vr = make_instance(extra=[DataElement((0x1205, 0x10), "LO", "ACME 1.0"), DataElement(0x12051003, "LO", "5")])
    assert strict.store(other_vr).status_code == 409
    assert clinic.store(other_vr).status_code == 200
    assert found_uids(clinic, "/instances?12051003=5") == []
    assert "errors" not in get_tag(client, "12051003")
    assert strict.store(make_instance(extra=[DataElement(0x12051003, "LO", "5")])).status_code == 200
