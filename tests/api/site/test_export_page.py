"""The form of an export (conformance §11.1, §15.4)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services.access.rights import Action
from tests.support.background import work
from tests.support.bulk_update import INSTANCE, SERIES, STUDY
from tests.support.callers import ADMIN, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

PAGE = "/ui/partitions/clinic-a/export"


def faults(text: str) -> dict[str, str]:
    """Return the faults on a page by the field that they describe."""
    return dict(re.findall('<span class="field-error" id="([A-Za-z]+)-error">([^<]*)</span>', text))


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    (tmp_path / "exports").mkdir()
    app = embedded(tmp_path / "data", export_dir=tmp_path / "exports")
    rights = {
        "reader": granted(Action.READ, Action.WRITE, to="clinic-a"),
        "elsewhere": granted(Action.EXPORT, to="clinic-b"),
        "exporter": granted(Action.EXPORT, to="clinic-a"),
    }
    authenticate(app, rights)
    PartitionClient(calling(app, ADMIN)).stored(
        make_instance(study=STUDY, series=SERIES, instance=INSTANCE, pixel=False)
    )
    return app


@pytest.fixture
def admin(app: Flask) -> FlaskClient:
    return calling(app, ADMIN)


def test_the_form_exports_files(admin: FlaskClient, tmp_path: Path) -> None:
    asked = admin.get(f"{PAGE}?study={STUDY}/{SERIES},x")
    assert f">\n{STUDY}/{SERIES}</textarea>" in asked.text
    started = admin.post(PAGE, data={"identifiers": f"{STUDY}\n", "kind": "file", "prefix": "drop"})
    assert started.status_code == 303
    work(admin)
    text = admin.get(started.headers["Location"]).text
    assert "Succeeded" in text
    assert "Files exported" in text
    assert len(list((tmp_path / "exports").rglob("*.dcm"))) == 1


@pytest.mark.parametrize(
    ("different", "field", "fault"),
    [
        ({"identifiers": ""}, "identifiers", "Enter at least one value."),
        ({"identifiers": "1.x"}, "identifiers", "not recognized as a valid DICOM identifier"),
        ({"kind": "ftp"}, "kind", "Choose one of the destinations."),
        ({"prefix": ".x"}, "prefix", "begin with a dot"),
        ({"kind": "s3", "bucketName": "A bucket"}, "bucketName", "the name of a bucket"),
        ({"kind": "s3", "bucketName": "bucket", "region": "nowhere"}, "region", "a region of AWS"),
        ({"kind": "s3", "bucketName": "bucket", "externalId": "abc"}, "externalId", "roleArn"),
        ({"kind": "s3", "bucketName": "bucket", "endpointUrl": "http://x.test"}, "endpointUrl", "not allowed"),
    ],
)
def test_a_fault_is_shown_at_its_field(admin: FlaskClient, different: dict[str, str], field: str, fault: str) -> None:
    answer = admin.post(PAGE, data={"identifiers": STUDY, "kind": "file", "prefix": "drop"} | different)
    assert answer.status_code == 400
    if field == "endpointUrl":  # the form does not offer it here
        assert 'role="alert"' in answer.text
    else:
        assert fault in faults(answer.text)[field]


@pytest.mark.parametrize(("caller", "status"), [("reader", 403), ("elsewhere", 400), ("exporter", 200)])
def test_whoever_may_export_sees_the_form(app: Flask, caller: str, status: int) -> None:
    client = calling(app, caller)
    assert client.get(PAGE).status_code == status
    sent = client.post(PAGE, data={"identifiers": STUDY, "kind": "file", "prefix": "drop"})
    assert sent.status_code == (303 if status == 200 else status)


def test_there_is_no_form_while_exports_are_off(tmp_path: Path) -> None:
    client = embedded(tmp_path / "off", enable_export=False).test_client()
    assert client.get("/ui/partitions/Microsoft.Default/export").status_code == 404
