"""Instances with very many values, items and frames: stored, and read with bounded memory (conformance §1.8)."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from app import bootstrap, create_app
from app.settings import Settings
from tests.support.background import work
from tests.support.dicomweb import PartitionClient
from tests.support.instances import JPEG_BASELINE
from tests.support.raw_elements import SEQUENCE_END, UNDEFINED, element, item, part10

PATH = "/studies/2.25.1/series/2.25.2/instances/2.25.3"
AS_STORED = "application/dicom; transfer-syntax=*"
FRAME = "application/octet-stream; transfer-syntax=*"


def file_with(*before: bytes, after: bytes = b"", syntax: str = "1.2.840.10008.1.2.1") -> bytes:
    head = (
        element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0")
        + element(0x00080018, "UI", b"2.25.3")
        + element(0x00100020, "LO", b"P1")
        + element(0x0020000D, "UI", b"2.25.1")
        + element(0x0020000E, "UI", b"2.25.2")
    )
    return part10(head + b"".join(before) + after, syntax)


def contours() -> bytes:
    """1.2 million coordinates."""
    points = b"\\".join([b"1.25", b"-3.5", b"-100 "] * 500)
    contour = item(element(0x30060046, "IS", b"500 ") + element(0x30060050, "DS", points + b" " * (len(points) % 2)))
    return element(0x30060039, "SQ", item(element(0x30060040, "SQ", contour * 40)) * 20)


def functional_groups(frames: int) -> Iterator[bytes]:
    for number in range(frames):
        place = element(0x0048021E, "SL", struct.pack("<l", number)) + element(0x0048021F, "SL", struct.pack("<l", 1))
        yield item(element(0x0048021A, "SQ", item(place)))


@pytest.fixture
def service(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    chosen = Settings(data_dir=tmp_path_factory.mktemp("archive"), log_level="error")
    bootstrap.initialise(chosen)
    return create_app(chosen, bootstrap.build_engine(chosen)).test_client()


def test_a_structure_set_of_a_million_values(clinic: PartitionClient) -> None:
    file = file_with(contours(), element(0x300E0002, "CS", b"APPROVED"))
    clinic.stored(file)
    assert clinic.get(PATH, AS_STORED).data == file
    (metadata,) = clinic.get(f"{PATH}/metadata").get_json(force=True)
    rois = metadata["30060039"]["Value"]
    assert (len(rois), len(rois[19]["30060040"]["Value"])) == (20, 40)
    assert rois[19]["30060040"]["Value"][39]["30060050"]["Value"][-3:] == [1.25, -3.5, -100]
    assert metadata["300E0002"]["Value"] == ["APPROVED"]
    assert list(metadata) == sorted(metadata)
    (found,) = clinic.get("/instances?includefield=all").get_json(force=True)
    assert found["00080018"]["Value"] == ["2.25.3"]


def test_searches_and_updates_of_a_large_instance(clinic: PartitionClient) -> None:
    clinic.stored(file_with(contours(), element(0x300E0002, "CS", b"APPROVED")))
    strict = PartitionClient(clinic.client, clinic.prefix.replace("v2", "v1"))
    for caller in (clinic, strict):
        (found,) = caller.get("/instances?includefield=ApprovalStatus").get_json(force=True)
        assert found["300E0002"]["Value"] == ["APPROVED"]
        assert "30060039" not in found
        (found,) = caller.get("/instances?includefield=ROIContourSequence").get_json(force=True)
        assert len(found["30060039"]["Value"]) == 20
    changes = {"PatientName": {"vr": "PN", "Value": [{"Alphabetic": "New^Name"}]}}
    body = {"studyInstanceUids": ["2.25.1"], "changeDataset": changes}
    assert clinic.client.post(f"{clinic.prefix}/studies/$bulkUpdate", json=body).status_code == 202
    work(clinic.client)
    (metadata,) = clinic.get(f"{PATH}/metadata").get_json(force=True)
    assert metadata["00100010"]["Value"] == [{"Alphabetic": "New^Name"}]
    assert len(metadata["30060039"]["Value"]) == 20
    assert list(metadata) == sorted(metadata)
    (entry, *_rest) = clinic.client.get("/v2/changefeed?includemetadata=true").get_json(force=True)
    assert len(entry["metadata"]["30060039"]["Value"]) == 20


def test_all_frames_of_many_functional_groups(clinic: PartitionClient) -> None:
    frames = 20_000
    groups = element(0x52009230, "SQ", b"".join(functional_groups(frames)))
    number = element(0x00280008, "IS", b"20000 ")
    pixels = element(
        0x7FE00010,
        "OB",
        item(b"") + b"".join(item(b"\xff\xd8%06d" % k) for k in range(frames)) + SEQUENCE_END,
        UNDEFINED,
    )
    clinic.stored(file_with(number, groups, pixels, syntax=JPEG_BASELINE))
    for wanted in (1, frames // 2, frames):
        assert clinic.get(f"{PATH}/frames/{wanted}", FRAME).data == b"\xff\xd8%06d" % (wanted - 1)
    assert clinic.get(f"{PATH}/frames/{frames + 1}", FRAME).status_code == 404
    (metadata,) = clinic.get("/studies/2.25.1/metadata").get_json(force=True)
    assert len(metadata["52009230"]["Value"]) == frames


def test_a_value_over_a_mebibyte_is_in_the_metadata_of_version_1(clinic: PartitionClient) -> None:
    text = b"x" * (2 << 20)
    numbers = struct.pack("<300000f", *range(300_000))
    file = file_with(element(0x0040A160, "UT", text), element(0x00660016, "OF", numbers))
    clinic.stored(file)
    assert clinic.get(PATH, AS_STORED).data == file
    (metadata,) = PartitionClient(clinic.client, "/v1/partitions/clinic-a").get(f"{PATH}/metadata").get_json(force=True)
    assert metadata["0040A160"] == {"vr": "UT", "Value": [text.decode()]}
    assert "00660016" not in metadata, "bulk data"


def test_metadata_of_a_large_instance_is_streamed(service: FlaskClient) -> None:
    clinic = PartitionClient(service)
    clinic.stored(file_with(contours()))
    tracemalloc.start()
    try:
        with service.get(f"{clinic.prefix}{PATH}/metadata", buffered=False) as response:
            size = sum(map(len, response.iter_encoded()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 5 << 20
    assert peak < 7 << 19
