"""wsidicom 0.36: levels by class, frames by lists in the stored transfer syntax."""

from __future__ import annotations

import pytest

from tests.support.dicomweb import PartitionClient, parts, value
from tests.support.instances import JPEG_2000, JPEG_BASELINE, encapsulated, frame, make_instance

SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
STUDY = "2.25.20"
INSTANCE = f"/studies/{STUDY}/series/2.25.21/instances/2.25.22"
TILES = [b"\xff\xd8\xff\xe0%d___\xff\xd9" % number for number in range(1, 7)]
CODESTREAMS = [b"\xff\x4f\xff\x51%d___\xff\xd9" % number for number in range(1, 7)]
UIDS = {"study": STUDY, "series": "2.25.21", "instance": "2.25.22", "SOPClassUID": SLIDE, "modality": "SM"}


def store_slide(clinic: PartitionClient, syntax: str = JPEG_BASELINE, tiles: list[bytes] = TILES) -> None:
    clinic.stored(
        encapsulated([[tile] for tile in tiles], transfer_syntax=syntax, **UIDS),
        make_instance(study=STUDY, series="2.25.29", modality="SR", pixel=False),
    )


def test_the_first_request(clinic: PartitionClient) -> None:
    store_slide(clinic)
    query = f"/instances?SOPClassUID={SLIDE}&StudyInstanceUID={STUDY}&includefield=AvailableTransferSyntaxUID"
    (row,) = clinic.get(query, "application/dicom+json").get_json(force=True)
    assert value(row, "00080018") == "2.25.22"
    assert row["00083002"] == {"vr": "UI", "Value": [JPEG_BASELINE]}
    (metadata,) = clinic.get(f"{INSTANCE}/metadata", "application/dicom+json").get_json(force=True)
    assert (value(metadata, "00280008"), value(metadata, "00080016")) == (6, SLIDE)


@pytest.mark.parametrize(
    "syntax, media_type, tiles",
    [(JPEG_BASELINE, "image/jpeg", TILES), (JPEG_2000, "image/jp2", CODESTREAMS)],
    ids=["JPEG", "JPEG 2000"],
)
def test_lists_of_frames_in_the_stored_syntax(
    clinic: PartitionClient, syntax: str, media_type: str, tiles: list[bytes]
) -> None:
    store_slide(clinic, syntax, tiles)
    for numbers in ((1,), (1, 2, 3), (6, 1), (2, 2)):
        path = f"{INSTANCE}/frames/{','.join(map(str, numbers))}"
        for accept in (
            f'multipart/related; type="{media_type}"; transfer-syntax={syntax}',
            f"multipart/related; type={media_type}; transfer-syntax={syntax}",
        ):
            found = parts(clinic.get(path, accept))
            assert [part.body for part in found] == [tiles[number - 1] for number in numbers]
            assert {part.content_type for part in found} == {f"{media_type}; transfer-syntax={syntax}"}
    assert clinic.get(f"{INSTANCE}/frames/1,7", f'multipart/related; type="{media_type}"').status_code == 404


def test_uncompressed_frames_as_a_last_resort(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(frames=2, rows=8, columns=8, **UIDS))
    accept = 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1'
    found = parts(clinic.get(f"{INSTANCE}/frames/1,2", accept))
    assert [part.body for part in found] == [frame(0, 8, 8), frame(1, 8, 8)]
