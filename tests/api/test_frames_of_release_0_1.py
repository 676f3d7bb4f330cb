"""Frames of instances that release 0.1.0 stored without a frame table: Number of Frames was wrong, or it is a video."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from app import bootstrap
from app.storage.table import keys
from app.storage.table.ports import Delete
from tests.support.bulk_update import OTHER, SERIES, update
from tests.support.dicomweb import Part, PartitionClient, parts
from tests.support.instances import JPEG_BASELINE, encapsulated

INSTANCE = "2.25.3"
FRAMES = f"/studies/{OTHER}/series/{SERIES}/instances/{INSTANCE}/frames"
MP4 = "1.2.840.10008.1.2.4.102"
PICTURES = [b"\xff\xd8 one\xff\xd9..", b"\xff\xd8 two\xff\xd9.."]
WRONG_NUMBER = encapsulated(
    [[each] for each in PICTURES], study=OTHER, series=SERIES, instance=INSTANCE, NumberOfFrames="5"
)


@pytest.fixture
def archive(clinic: PartitionClient, client: FlaskClient, engine: bootstrap.Engine) -> PartitionClient:
    """An archive with an instance of a wrong number of frames, without the frame table that is stored today."""
    clinic.stored(WRONG_NUMBER)
    services = client.application.extensions["bulkhead"]
    (row,) = services.retrieve.instances(services.partitions.resolve("clinic-a", create=False), OTHER)
    engine.table.write(Delete(keys.frames(row.partition, OTHER, row.watermark)))
    return clinic


def test_the_table_is_made_from_the_file(archive: PartitionClient) -> None:
    response = archive.get(f"{FRAMES}/2,1", 'multipart/related; type="image/jpeg"')
    assert response.status_code == 200, response.text
    typed = f"image/jpeg; transfer-syntax={JPEG_BASELINE}"
    assert parts(response) == [Part(typed, PICTURES[1]), Part(typed, PICTURES[0])]
    assert archive.get(f"{FRAMES}/3", "image/jpeg").status_code == 404


@pytest.mark.parametrize(
    ("fragments", "number", "offsets"),
    [([b"one stream.."], "100", "none"), ([b"one stream.."], "100", "basic"), ([b"in ", b"two "], "100", "none")],
)
def test_the_stream_of_a_video_is_frame_1(
    clinic: PartitionClient, fragments: list[bytes], number: str, offsets: str
) -> None:
    uids = {"study": OTHER, "series": SERIES, "instance": INSTANCE}
    padded = [each + b"\0" * (len(each) % 2) for each in fragments]
    clinic.stored(encapsulated([padded], table=offsets, transfer_syntax=MP4, NumberOfFrames=number, **uids))
    stream = b"".join(padded)
    for accept in ("video/mp4", f"application/octet-stream; transfer-syntax={MP4}"):
        response = clinic.get(f"{FRAMES}/1", accept)
        assert (response.status_code, response.data) == (200, stream), accept
    response = clinic.get(f"{FRAMES}/1", "video/mp4", Range="bytes=2-5")
    assert (response.status_code, response.data) == (206, stream[2:6])
    assert clinic.get(f"{FRAMES}/2", "video/mp4").status_code == 404


def test_a_bulk_update_stores_the_table(archive: PartitionClient, engine: bootstrap.Engine) -> None:
    operation = update(archive, OTHER)
    assert (operation["status"], operation["results"]["instanceUpdated"]) == ("succeeded", 1)
    assert archive.get(f"{FRAMES}/2", "image/jpeg").data == PICTURES[1]
    services = archive.client.application.extensions["bulkhead"]
    (row,) = services.retrieve.instances(services.partitions.resolve("clinic-a", create=False), OTHER)
    assert engine.table.get(keys.frames(row.partition, OTHER, row.watermark)) is not None
