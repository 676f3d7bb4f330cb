"""Documents that are too large for an item of the table are stored in blobs: metadata and frame tables."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from flask.testing import FlaskClient

from app.services.store import service
from app.storage.records import documents
from tests.support.background import work
from tests.support.instances import encapsulated, make_instance, uid


@pytest.fixture
def small_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every document too large for an item."""
    monkeypatch.setattr(documents, "MAX_ITEM_BYTES", documents._ITEM_OVERHEAD)


def test_spilled_documents_are_served_and_removed(small_items: None, client: FlaskClient) -> None:
    study, series, instance = uid(), uid(), uid()
    frames = [b"\xff\xd8" + bytes([n]) * 20 + b"\xff\xd9" for n in range(3)]
    data = encapsulated([[frame] for frame in frames], study=study, series=series, instance=instance)
    path = f"/v2/partitions/spills/studies/{study}"
    stored = client.post("/v2/partitions/spills/studies", data=data, headers={"Content-Type": "application/dicom"})
    assert stored.status_code in (200, 202)
    metadata = client.get(f"{path}/metadata")
    assert metadata.status_code == 200
    assert metadata.json[0]["00080018"]["Value"] == [instance]
    frame = client.get(
        f"{path}/series/{series}/instances/{instance}/frames/2",
        headers={"Accept": "application/octet-stream; transfer-syntax=*"},
    )
    assert frame.data == frames[1]
    assert client.delete(path).status_code == 204
    assert client.get(f"{path}/metadata").status_code == 404


def test_large_metadata_of_one_request_is_written_in_several_transactions(client: FlaskClient) -> None:
    """The instances fit one transaction by the number of changes, but not by their bytes."""
    letters = random.Random(7)
    study, series = uid(), uid()
    bodies = [
        make_instance(
            study=study,
            series=series,
            instance=uid(),
            TextValue="".join(letters.choices("abcdefgh01234567", k=600_000)),
        )
        for _ in range(service.BATCH_INSTANCES)
    ]
    boundary = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
    body = b"".join(boundary + each + b"\r\n" for each in bodies) + b"--b--\r\n"
    stored = client.post(
        "/v2/partitions/large/studies",
        data=body,
        headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'},
    )
    assert stored.status_code == 200
    metadata = client.get(f"/v2/partitions/large/studies/{study}/metadata")
    assert len(metadata.get_json()) == service.BATCH_INSTANCES


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_a_re_index_holds_few_large_documents_in_memory(client: FlaskClient) -> None:
    count, size = 40, 800_000
    for _ in range(count):
        body = make_instance(TextValue="x" * size)
        stored = client.post("/v2/partitions/large/studies", data=body, content_type="application/dicom")
        assert stored.status_code == 200
    asked = client.post("/v2/extendedquerytags", json=[{"path": "SeriesNumber", "level": "Series"}])
    tracemalloc.start()
    work(client)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert client.get(asked.json["href"]).json["status"] == "succeeded"
    assert len(client.get("/v2/partitions/large/series?SeriesNumber=1").get_json()) == count
    assert peak < count * size / 2
