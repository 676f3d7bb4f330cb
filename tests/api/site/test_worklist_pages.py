"""The pages of the worklist (conformance §7.1, §15.4)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app.services.access.rights import Action
from app.web.site import worklist
from tests.support.callers import ADMIN, authenticate, calling, embedded, granted
from tests.support.workitems import code, name, sequence, text, workitem

PAGE = "/ui/partitions/clinic-a/worklist"
SENT = {"reason": "Not needed", "contact": "Front desk"}


def add(client: FlaskClient, uid: str, **different: object) -> None:
    answer = client.post(
        f"/v2/partitions/clinic-a/workitems?{uid}",
        json=[workitem(**different)],  # type: ignore[arg-type]  # datasets of the test
        content_type="application/dicom+json",
        headers={"Accept": "application/dicom+json"},
    )
    assert answer.status_code == 201, answer.text


def listed(client: FlaskClient, **query: str) -> list[str]:
    answer = client.get(PAGE, query_string=query)
    assert answer.status_code == 200
    return re.findall(f'href="{PAGE}/([0-9.]+)"', answer.text)


def test_the_search_of_workitems(client: FlaskClient) -> None:
    add(client, "2.25.1")
    add(client, "2.25.2", T00100010=name("Miller^Bob"), T00100020=text("LO", "P2"))
    add(client, "2.25.3", T00404005=text("DT", "20240401120000"))
    assert listed(client) == ["2.25.3", "2.25.2", "2.25.1"]
    assert listed(client, patient="P2") == ["2.25.2"]
    assert listed(client, name="Mil") == ["2.25.2"]
    assert listed(client, **{"from": "2024-03-15"}) == ["2.25.3"]
    assert listed(client, **{"from": "20240301", "to": "2024-03-31"}) == ["2.25.2", "2.25.1"]
    assert client.post(f"{PAGE}/2.25.1/cancel", data=SENT).status_code == 303
    assert listed(client, state="CANCELED") == ["2.25.1"]
    assert listed(client, state="COMPLETED") == []


def test_pages_of_the_search(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worklist, "PAGE_LENGTH", 2)
    for number in range(3):
        add(client, f"2.25.{number + 1}")
    first = client.get(PAGE, query_string={"name": "Smith"})
    found = re.search(
        'href="/ui/partitions/clinic-a/worklist([?]name=Smith&amp;offset=2&amp;cursor=([^"]*))"', first.text
    )
    assert found
    add(client, "2.25.4")
    assert listed(client, name="Smith", offset="2", cursor=found[2]) == ["2.25.1"]
    assert listed(client, name="Smith", offset="2") == ["2.25.2", "2.25.1"]


def test_a_workitem_is_shown_and_canceled(client: FlaskClient) -> None:
    add(client, "2.25.1", T00404018=sequence(code("CT1")))
    shown = client.get(f"{PAGE}/2.25.1").text
    for expected in ("CT chest read", "2024-03-01 09:00", "Scheduled", "(0074,1204)", "CT1", "Cancel the workitem"):
        assert expected in shown
    canceled = client.post(f"{PAGE}/2.25.1/cancel", data=SENT)
    assert (canceled.status_code, canceled.headers["Location"]) == (303, f"{PAGE}/2.25.1")
    shown = client.get(f"{PAGE}/2.25.1").text
    assert "Canceled" in shown
    assert "Not needed" in shown
    assert "Front desk" in shown
    assert "Cancel the workitem" not in shown
    again = client.post(f"{PAGE}/2.25.1/cancel", data=SENT)
    assert again.status_code == 409
    assert 'role="alert"' in again.text


@pytest.mark.parametrize(
    "query", ["?from=yesterday", "?from=2024-02-30", "?offset=-1", "?offset=x", f"?offset={'9' * 5000}"]
)
def test_a_value_that_breaks_its_rule_is_named(client: FlaskClient, query: str) -> None:
    add(client, "2.25.1")
    answer = client.get(PAGE + query)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text


def test_texts_of_a_workitem_are_text(client: FlaskClient) -> None:
    bad = "<script>alert(1)</script>"
    add(client, "2.25.1", T00741204=text("LO", bad), T00100010=name(bad))
    for path in (PAGE, f"{PAGE}/2.25.1"):
        answer = client.get(path)
        assert "&lt;script&gt;alert(1)" in answer.text
        assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/2.25.9", 404),
        ("POST", "/2.25.9/cancel", 404),
        ("GET", "/x", 400),
        ("POST", "/2.25.1/cancel", 400),
    ],
)
def test_there_is_no_such_workitem(client: FlaskClient, method: str, path: str, status: int) -> None:
    add(client, "2.25.1")
    answer = client.open(PAGE + path, method=method, data={"reason": "a" * 1025} if method == "POST" else None)
    assert (answer.status_code, answer.content_type) == (status, "text/html; charset=utf-8")


def test_the_rights_of_the_worklist(tmp_path: Path) -> None:
    app = embedded(tmp_path)
    rights = {
        "reader": granted(Action.READ, to="clinic-a"),
        "writer": granted(Action.WRITE, to="clinic-a"),
        "elsewhere": granted(Action.READ, Action.WRITE, to="clinic-b"),
    }
    authenticate(app, rights)
    for number in range(2):
        add(calling(app, ADMIN), f"2.25.{number}")
    assert "Cancel the workitem" not in calling(app, "reader").get(f"{PAGE}/2.25.1").text
    expected = {"reader": (200, 200, 403), "writer": (403, 403, 303), "elsewhere": (400, 400, 400)}
    for caller, statuses in expected.items():
        client = calling(app, caller)
        found = (
            client.get(PAGE).status_code,
            client.get(f"{PAGE}/2.25.1").status_code,
            client.post(f"{PAGE}/2.25.1/cancel", data=SENT).status_code,
        )
        assert found == statuses, caller
    refused = calling(app, "writer").post(f"{PAGE}/2.25.1/cancel", data=SENT)
    assert refused.status_code == 409
    label = calling(app, "reader").get(f"{PAGE}/2.25.1").text.partition("<title>")[2].partition(" ·")[0]
    assert label and label != "Workitem"
    assert "Smith" not in refused.text
    assert label not in refused.text
