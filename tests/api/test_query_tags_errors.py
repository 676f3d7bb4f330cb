"""The errors of extended query tags (conformance §8.9)."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance, uid
from tests.support.query_tags import (
    AGE,
    PRIVATE,
    TAGS,
    add_and_index,
    get_tag,
    private_block,
)


def test_re_index_disables_a_tag_with_invalid_values_and_lists_them(
    client: FlaskClient, clinic: PartitionClient, strict: PartitionClient
) -> None:
    other = PartitionClient(client, "/v1/partitions/other")
    study, bad = uid(), [uid() for _ in range(3)]
    for instance in bad[:2]:
        assert strict.store(make_instance(study=study, instance=instance, PatientAge="3Y")).status_code == 200
    assert other.store(make_instance(study=study, instance=bad[2], PatientAge="3Y")).status_code == 200
    good = uid()
    clinic.stored(make_instance(study=good, PatientAge="030Y", BodyPartExamined="KNEE"))
    add_and_index(client, AGE, {"path": "BodyPartExamined", "level": "Series"})
    tag = get_tag(client, "PatientAge")
    href = "http://localhost/v2/extendedquerytags/00101010/errors"
    assert tag["errors"] == {"count": 3, "href": href}
    assert (tag["status"], tag["queryStatus"]) == ("ready", "disabled")
    assert get_tag(client, "BodyPartExamined")["queryStatus"] == "enabled"
    errors = client.get(href).json
    assert [each["sopInstanceUid"] for each in errors] == bad[::-1]
    assert [each["partitionName"] for each in errors] == ["other", "clinic-a", "clinic-a"]
    assert {each["errorMessage"] for each in errors} == {"Value length is not expected."}
    assert all(each["createdTime"].endswith("Z") and each["studyInstanceUid"] == study for each in errors)
    assert [each["sopInstanceUid"] for each in client.get(f"{href}?offset=1&limit=1").json] == [bad[1]]
    assert clinic.get("/studies?PatientAge=030Y").status_code == 400

    client.patch(f"{TAGS}/PatientAge", json={"queryStatus": "Enabled"})
    response = clinic.get("/series?BodyPartExamined=KNEE&PatientAge=030Y")
    assert response.status_code == 200
    assert response.headers["erroneous-dicom-attributes"] == "PatientAge"
    assert "erroneous-dicom-attributes" not in clinic.get("/series?BodyPartExamined=KNEE").headers

    assert clinic.delete(f"/studies/{study}").status_code == 204
    assert get_tag(client, "PatientAge")["errors"]["count"] == 1
    assert [each["partitionName"] for each in client.get(href).json] == ["other"]
    PartitionClient(client, "/v2/partitions/other").delete(f"/studies/{study}")
    assert "errors" not in get_tag(client, "PatientAge")
    assert client.get(href).json == []
    assert "erroneous-dicom-attributes" not in clinic.get("/studies?PatientAge=030Y").headers


@pytest.mark.parametrize(
    ("tag", "values", "text"),
    [
        ({"path": "PatientAge"}, {"PatientAge": "3Y"}, "Value length is not expected."),
        ({"path": "StudyID"}, {"StudyID": "x" * 17}, "Value length exceeds maximum length."),
        ({"path": "InstitutionName"}, {"InstitutionName": "a\x07b"}, "Value contains invalid character."),
        ({"path": "AcquisitionDate"}, {"AcquisitionDate": "20241301"}, "Value cannot be parsed as a valid date."),
        ({"path": "AcquisitionTime"}, {"AcquisitionTime": "2500"}, "Value cannot be parsed as a valid Time."),
        (
            {"path": "AcquisitionDateTime"},
            {"AcquisitionDateTime": "2024x"},
            "Value cannot be parsed as a valid DateTime.",
        ),
        ({"path": "InstanceNumber"}, {"InstanceNumber": "1x"}, "Value cannot be parsed as a valid integer string."),
        ({"path": "OperatorsName"}, {"OperatorsName": "a^b^c^d^e^f"}, "Value contains more than 5 components."),
        (PRIVATE, {"extra": private_block("ACME 1.0", 5)}, None),
        (PRIVATE | {"vr": "US"}, {"extra": private_block("ACME 1.0", 5)}, "The extended query tag VR is not expected."),
        (PRIVATE | {"vr": "US"}, {"extra": private_block("OTHER", 5)}, None),
    ],
)
def test_error_messages(
    client: FlaskClient, strict: PartitionClient, tag: dict[str, Any], values: dict[str, Any], text: str | None
) -> None:
    response = strict.store(make_instance(**values))
    assert response.status_code == 200, response.text
    add_and_index(client, {"level": "Instance"} | tag)
    errors = client.get(f"{TAGS}/{tag['path']}/errors").json
    assert [each["errorMessage"] for each in errors] == ([text] if text else [])
