"""The form of a bulk update (conformance §12.1, §15.4)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app.services.access.rights import Action
from app.web.site.bulk_update import KEYWORDS
from tests.conftest import Serve
from tests.support.background import work
from tests.support.bulk_update import OTHER, STUDY, metadata
from tests.support.callers import ADMIN, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

PAGE = "/ui/partitions/clinic-a/update"


def faults(text: str) -> dict[str, str]:
    """Return the faults on a page by the field that they describe."""
    return dict(re.findall('<span class="field-error" id="([A-Za-z]+)-error">([^<]*)</span>', text))


def test_the_form_changes_the_studies(clinic: PartitionClient, study_to_update: bytes) -> None:
    client = clinic.client
    sent = {
        "studies": f"{STUDY}\r\n\r\n {OTHER} ",
        "PatientName": "Smith^Ann=山田^花子",
        "PatientBirthDate": "1970-01-02",
        "OtherPatientIDs": "A\\B",
        "PatientWeight": "70.5",
    }
    started = client.post(PAGE, data=sent)
    assert started.status_code == 303
    work(client)
    text = client.get(started.headers["Location"]).text
    assert "Succeeded" in text
    for study, count in ((STUDY, 3), (OTHER, 1)):
        documents = metadata(clinic, f"/studies/{study}")
        assert len(documents) == count
        for document in documents:
            assert document["00100010"]["Value"] == [{"Alphabetic": "Smith^Ann", "Ideographic": "山田^花子"}]
            assert document["00100030"]["Value"] == ["19700102"]
            assert document["00101000"]["Value"] == ["A", "B"]
            assert document["00101030"]["Value"] == [70.5]
            assert document["00100020"]["Value"] == ["P1"]


def test_the_form_shows_the_present_values_of_a_study(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(study=STUDY, patient_name='<b>Doe</b>^"J"', pixel=False))
    text = clinic.client.get(f"{PAGE}?study={STUDY}").text
    assert "Now: &lt;b&gt;Doe&lt;/b&gt;^&#34;J&#34;" in text
    assert f">\n{STUDY}</textarea>" in text
    for keyword in KEYWORDS:
        assert f'name="{keyword}"' in text
    assert len(KEYWORDS) == 36


@pytest.mark.parametrize("query", ["", "?study=x", "?study=2.25.999", f"?study={STUDY},{OTHER}"])
def test_the_form_of_no_study_or_of_several_shows_no_values(
    clinic: PartitionClient, study_to_update: bytes, query: str
) -> None:
    answer = clinic.client.get(PAGE + query)
    assert answer.status_code == 200
    assert "Now:" not in answer.text


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"studies": " "}, {"studies": "Enter at least one value."}),
        ({"studies": "1.x", "PatientID": "7"}, {"studies": "Each component must start with non-zero number."}),
        ({"studies": "\n".join(f"2.25.{n}" for n in range(51)), "PatientID": "7"}, {"studies": "maximum length"}),
        (
            {"studies": STUDY, "PatientBirthDate": "1970-02-31", "PatientAge": "old"},
            {"PatientBirthDate": "does not validate VR DA", "PatientAge": "does not validate VR AS"},
        ),
        ({"studies": STUDY, "PatientID": "A\\B"}, {"PatientID": "does not validate VR LO"}),
        ({"studies": STUDY, "PatientName": "a=b=c=d"}, {"PatientName": "does not validate VR PN"}),
        ({"studies": STUDY}, {}),
    ],
)
def test_each_fault_is_shown_at_its_field(
    clinic: PartitionClient, study_to_update: bytes, sent: dict[str, str], expected: dict[str, str]
) -> None:
    answer = clinic.client.post(PAGE, data=sent)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    found = faults(answer.text)
    assert found.keys() == expected.keys()
    for field, text in expected.items():
        assert text in found[field]


def test_a_second_update_has_to_wait(clinic: PartitionClient, study_to_update: bytes) -> None:
    sent = {"studies": STUDY, "PatientID": "7"}
    assert clinic.client.post(PAGE, data=sent).status_code == 303
    again = clinic.client.post(PAGE, data=sent)
    assert again.status_code == 409
    assert "There is already an active update operation" in again.text
    assert 'value="7"' in again.text


def test_no_update_starts_while_operations_are_off(serve: Serve) -> None:
    client = serve(disable_operations=True)
    PartitionClient(client).stored(make_instance(study=STUDY, pixel=False))
    assert client.get(PAGE).status_code == 400
    assert client.post(PAGE, data={"studies": STUDY, "PatientID": "7"}).status_code == 400


@pytest.mark.parametrize(("caller", "status"), [("reader", 403), ("elsewhere", 400), ("writer", 200)])
def test_whoever_may_write_sees_the_form_and_only_a_reader_sees_values(
    tmp_path: Path, caller: str, status: int
) -> None:
    app = embedded(tmp_path)
    rights = {
        "reader": granted(Action.READ, Action.DELETE, to="clinic-a"),
        "elsewhere": granted(Action.WRITE, to="clinic-b"),
        "writer": granted(Action.WRITE, to="clinic-a"),
    }
    authenticate(app, rights)
    PartitionClient(calling(app, ADMIN)).stored(make_instance(study=STUDY, patient_name="Secret^Name", pixel=False))
    asked = calling(app, caller).get(f"{PAGE}?study={STUDY}")
    assert asked.status_code == status
    assert "Secret" not in asked.text
    sent = calling(app, caller).post(PAGE, data={"studies": STUDY, "PatientID": "7"})
    assert sent.status_code == (303 if status == 200 else status)


def test_an_unknown_partition_is_not_created(client: FlaskClient) -> None:
    assert client.get("/ui/partitions/new/update").status_code == 400
    assert client.post("/ui/partitions/new/update", data={"studies": STUDY, "PatientID": "7"}).status_code == 400
    assert [each["partitionName"] for each in client.get("/v2/partitions").get_json()] == ["Microsoft.Default"]
