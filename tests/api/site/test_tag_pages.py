"""The pages of extended query tags (conformance §8.1, §15.4)."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from tests.conftest import Serve
from tests.support.background import work
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.query_tags import AGE, TAGS, add_and_index, get_tag

FIELDS = {"path": "PatientAge", "level": "study", "vr": "", "creator": ""}


def faults(text: str) -> dict[str, str]:
    """Return the faults on a page by the field that they describe."""
    return dict(re.findall('<span class="field-error" id="([a-z]+)-error">([^<]*)</span>', text))


def test_a_tag_is_added_used_and_deleted(client: FlaskClient, clinic: PartitionClient) -> None:
    clinic.stored(make_instance(study="2.25.1", PatientAge="003Y", pixel=False))
    added = client.post("/ui/tags", data=FIELDS)
    assert added.status_code == 303
    assert client.get(added.headers["Location"]).status_code == 200
    assert "Adding" in client.get("/ui/tags").text
    work(client)
    assert clinic.get("/studies?PatientAge=003Y").status_code == 200
    disabled = client.post("/ui/tags/00101010/status", data={"status": "disabled"})
    assert (disabled.status_code, disabled.headers["Location"]) == (303, "/ui/tags")
    assert get_tag(client, "00101010")["queryStatus"] == "disabled"
    assert "Disabled" in client.get("/ui/tags").text
    assert "Delete the tag" in client.get("/ui/tags/00101010/delete").text
    assert client.get(TAGS).get_json() != []
    deleted = client.post("/ui/tags/00101010/delete", data={"sent": "1"})
    assert (deleted.status_code, deleted.headers["Location"]) == (303, "/ui/tags")
    assert client.get(TAGS).get_json() == []


@pytest.mark.parametrize(
    ("different", "field", "fault"),
    [
        ({"path": ""}, "path", "Enter a keyword, or 8 hex digits."),
        ({"path": "Nothing"}, "path", "cannot be parsed"),
        ({"path": "PatientName"}, "path", "already supported"),
        ({"level": "frame"}, "level", "Choose one of the levels."),
        ({"vr": "XXX"}, "vr", "A VR has two letters."),
        ({"vr": "XX"}, "vr", "is invalid"),
        ({"vr": "LO"}, "vr", "incorrectly specified"),
        ({"path": "12051003", "vr": ""}, "vr", "is missing"),
        ({"path": "12051003", "vr": "SS"}, "creator", "is missing"),
        ({"creator": "ACME"}, "creator", "is not empty"),
    ],
)
def test_a_fault_is_shown_at_its_field(client: FlaskClient, different: dict[str, str], field: str, fault: str) -> None:
    answer = client.post("/ui/tags", data=FIELDS | different)
    assert answer.status_code == 400
    found = faults(answer.text)
    assert list(found) == [field]
    assert fault in found[field]
    assert re.search(f'name="{field}"[^>]* aria-describedby="[^"]*{field}-error" aria-invalid="true"', answer.text)


def test_a_second_tag_has_to_wait(client: FlaskClient) -> None:
    assert client.post("/ui/tags", data=FIELDS).status_code == 303
    again = client.post("/ui/tags", data=FIELDS | {"path": "PatientComments"})
    assert again.status_code == 409
    assert "There is already an active re-index operation" in faults(again.text)["path"]
    work(client)
    assert client.post("/ui/tags", data=FIELDS).status_code == 409


def test_the_form_shows_what_was_sent_as_text(client: FlaskClient) -> None:
    answer = client.post("/ui/tags", data=FIELDS | {"path": '"><script>alert(1)</script>'})
    assert answer.status_code == 400
    assert "<script>alert" not in answer.text
    assert 'value="&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"' in answer.text


def test_the_errors_of_a_tag(client: FlaskClient, strict: PartitionClient) -> None:
    strict.stored(make_instance(study="2.25.7", PatientAge="3Y", pixel=False))
    add_and_index(client, AGE)
    text = client.get("/ui/tags/PatientAge").text
    assert 'href="/ui/partitions/clinic-a/studies/2.25.7"' in text
    assert client.get("/ui/tags/PatientAge?offset=1").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ui/tags/PatientAge", 404),
        ("GET", "/ui/tags/PatientAge/delete", 404),
        ("POST", "/ui/tags/PatientAge/delete", 404),
        ("GET", "/ui/tags/%3Cb%3E", 400),
        ("GET", "/ui/tags/PatientAge?offset=-1", 400),
        ("POST", "/ui/tags/PatientAge/status", 400),
    ],
)
def test_there_is_no_such_tag(client: FlaskClient, method: str, path: str, status: int) -> None:
    answer = client.open(path, method=method, data={"sent": "1"} if method == "POST" else None)
    assert (answer.status_code, answer.content_type) == (status, "text/html; charset=utf-8")
    assert "<b>" not in answer.text


def test_no_tag_is_added_while_operations_are_off(serve: Serve) -> None:
    client = serve(disable_operations=True)
    assert "Add the tag" not in client.get("/ui/tags").text
    assert client.post("/ui/tags", data=FIELDS).status_code == 400
