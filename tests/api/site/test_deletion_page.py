"""The deletion of a study, a series or an instance from its page (conformance §6.1, §15.4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.services.access.rights import Action
from tests.support.bulk_update import INSTANCE, LEVELS, SERIES, STUDY
from tests.support.callers import ADMIN, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

PAGES = "/ui/partitions/clinic-a"
SENT = {"sent": "1"}


@pytest.mark.parametrize(
    ("level", "uid", "instances"), [("study", STUDY, 3), ("series", SERIES, 2), ("instance", INSTANCE, 1)]
)
def test_the_page_says_what_is_deleted_and_the_form_deletes_it(
    clinic: PartitionClient, study_to_update: bytes, level: str, uid: str, instances: int
) -> None:
    address = f"{PAGES}{LEVELS[level]}/delete"
    asked = clinic.client.get(address)
    assert asked.status_code == 200
    assert f"<dd>{instances}</dd>" in asked.text
    assert uid in asked.text
    assert clinic.get(f"{LEVELS[level]}/metadata").status_code == 200
    deleted = clinic.client.post(address, data=SENT)
    following = f"{PAGES}/studies?deleted={STUDY}" if level == "study" else f"{PAGES}/studies/{STUDY}"
    assert (deleted.status_code, deleted.headers["Location"]) == (303, following)
    assert ("The study is deleted." in clinic.client.get(following).text) == (level == "study")
    assert clinic.get(f"{LEVELS[level]}/metadata").status_code == 404
    assert clinic.client.get(address).status_code == 404
    assert clinic.client.post(address, data=SENT).status_code == 404


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("caller", "status"), [("reader", 403), ("elsewhere", 400), ("remover", 200)])
def test_whoever_may_delete_sees_the_page(tmp_path: Path, method: str, caller: str, status: int) -> None:
    app = embedded(tmp_path)
    rights = {
        "reader": granted(Action.READ, Action.WRITE, to="clinic-a"),
        "elsewhere": granted(Action.DELETE, to="clinic-b"),
        "remover": granted(Action.DELETE, to="clinic-a"),
    }
    authenticate(app, rights)
    PartitionClient(calling(app, ADMIN)).stored(make_instance(study="2.25.1", patient_name="Secret^Name", pixel=False))
    answer = calling(app, caller).open(
        f"{PAGES}/studies/2.25.1/delete", method=method, data=SENT if method == "POST" else None
    )
    assert answer.status_code == (303 if (status, method) == (200, "POST") else status)
    assert answer.headers.get("Location") == ("/" if answer.status_code == 303 else None)
    assert "Secret" not in answer.text


def test_after_the_last_series_the_study_is_gone(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(study="2.25.1", series="2.25.2", pixel=False))
    deleted = clinic.client.post(f"{PAGES}/studies/2.25.1/series/2.25.2/delete", data=SENT)
    assert deleted.headers["Location"] == f"{PAGES}/studies?deleted=2.25.1"


def test_names_from_a_file_are_text(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(study="2.25.1", patient_name="<script>alert(1)</script>", pixel=False))
    text = clinic.client.get(f"{PAGES}/studies/2.25.1/delete").text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text


def test_a_uid_that_is_none_is_refused(clinic: PartitionClient, study_to_update: bytes) -> None:
    answer = clinic.client.get(f"{PAGES}/studies/x/delete")
    assert (answer.status_code, answer.content_type) == (400, "text/html; charset=utf-8")
