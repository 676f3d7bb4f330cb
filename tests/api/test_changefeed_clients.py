"""The change feed as Microsoft's clients and pipelines read it: times, and paths of files (conformance §1.5, §10.3)."""

from __future__ import annotations

import dataclasses
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from app import bootstrap, create_app
from app.engines.aws import clients
from app.settings import Settings
from tests.api.test_changefeed import feed
from tests.support.bulk_update import update
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

UIDS = {"study": "2.25.1", "series": "2.25.2", "instance": "2.25.3"}


@pytest.fixture
def with_paths(settings: Settings, engine: bootstrap.Engine) -> FlaskClient:
    """The service with paths in the feed. Its engine keeps a file for each instance, however small it is."""
    given = dataclasses.replace(settings, feed_file_path=True)
    return create_app(given, dataclasses.replace(bootstrap.build_engine(given), table=engine.table)).test_client()


def file_at(settings: Settings, entry: dict[str, Any]) -> bytes:
    """Return the file that an entry names, read past the service."""
    path: str = entry["filePath"]
    if settings.engine == "aws":
        return clients.s3(1).get_object(Bucket=settings.bucket, Key=path)["Body"].read()
    return (settings.data_dir / path).read_bytes()


@pytest.mark.parametrize("query", ["startTime=&endTime=", "startTime=", "endTime=%20", "STARTTIME=&endtime="])
def test_an_empty_time_counts_as_absent(client: FlaskClient, query: str) -> None:
    PartitionClient(client).stored(make_instance())
    assert len(feed(client, query)) == 1


def test_dates_of_rfc_1123_are_read(client: FlaskClient) -> None:
    PartitionClient(client).stored(make_instance())
    early, late = quote("Wed, 03 May 2023 10:58:00 GMT"), quote("Mon, 03 May 2100 10:58:00 GMT")
    assert len(feed(client, f"startTime={early}&endTime={late}")) == 1
    assert feed(client, f"startTime={late}") == []
    assert feed(client, f"endTime={early}") == []


@pytest.mark.parametrize(
    "time", ["Wed, 32 May 2023 10:58:00 GMT", "Wed, 03 May 2023 10:58:00", "Wed, 03 May 2023", "May 2023", "GMT"]
)
def test_other_text_is_no_time(client: FlaskClient, time: str) -> None:
    answer = client.get(f"/v2/changefeed?startTime={quote(time)}")
    assert answer.status_code == 400
    assert answer.text == f"The query parameter 'StartTime' is invalid. The value '{time}' is not valid for StartTime."


def test_no_path_by_default(client: FlaskClient) -> None:
    PartitionClient(client).stored(make_instance())
    assert [each for each in feed(client) if "filePath" in each] == []


@pytest.mark.parametrize("version", ["/v1", "/v2"])
def test_paths_of_files(with_paths: FlaskClient, settings: Settings, version: str) -> None:
    client = with_paths
    clinic = PartitionClient(client)
    clinic.stored(make_instance(**UIDS))
    (entry,) = feed(client, version=version)
    assert file_at(settings, entry)[128:132] == b"DICM"
    assert client.get(f"{version}/changefeed/latest").get_json()["filePath"] == entry["filePath"]
    assert clinic.delete("/studies/2.25.1").status_code == 204
    assert [("filePath" in each, each["state"]) for each in feed(client, version=version)] == [(False, "Deleted")] * 2
    clinic.stored(make_instance(**UIDS))
    first, deletion, second = feed(client, version=version)
    assert first["filePath"] == second["filePath"] != entry["filePath"]
    assert "filePath" not in deletion


def test_after_an_update_every_entry_names_the_new_file(with_paths: FlaskClient, settings: Settings) -> None:
    client = with_paths
    clinic = PartitionClient(client)
    clinic.stored(make_instance(**UIDS))
    (before,) = feed(client)
    update(clinic, "2.25.1", PatientID={"vr": "LO", "Value": ["NEW"]})
    created, updated = feed(client)
    assert (created["action"], updated["action"]) == ("Create", "Update")
    assert created["filePath"] == updated["filePath"] != before["filePath"]
    assert b"NEW" in file_at(settings, updated)


@pytest.mark.parametrize("path", ["/v1/changefeed", "/v2/changefeed", "/v2/extendedquerytags"])
@pytest.mark.parametrize(
    "limit, status",
    [("5", 200), ("%2B5", 200), ("%205", 200), ("5%20", 200), ("005", 200), ("5_0", 400), ("5.0", 400), ("", 400),
     ("%D9%A5", 400), ("--5", 400), ("%2B", 400), ("1e1", 400), ("0", 400), ("-1", 400), ("9" * 20, 400)],
)  # fmt: skip
def test_forms_of_a_limit(client: FlaskClient, path: str, limit: str, status: int) -> None:
    assert client.get(f"{path}?limit={limit}").status_code == status
