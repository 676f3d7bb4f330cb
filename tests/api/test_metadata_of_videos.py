"""The metadata of a video names its transfer syntax, by which viewers know that it is a video (conformance §4.14)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.dicomweb import PartitionClient, value
from tests.support.documents import H264, HEVC, MPEG_2, video
from tests.support.instances import encapsulated

STUDY, SERIES, INSTANCE = "2.25.10", "2.25.20", "2.25.30"
UIDS: dict[str, Any] = {"study": STUDY, "series": SERIES, "instance": INSTANCE}
LEVELS = (
    f"/studies/{STUDY}",
    f"/studies/{STUDY}/series/{SERIES}",
    f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}",
)


@pytest.mark.parametrize("syntax", [MPEG_2, H264, HEVC, f"{H264}.1"])
def test_a_video_names_its_transfer_syntax(clinic: PartitionClient, syntax: str) -> None:
    clinic.stored(video(b"stream", transfer_syntax=syntax, **UIDS))
    for path in LEVELS:
        (dataset,) = clinic.get(f"{path}/metadata").get_json(force=True)
        assert dataset["00083002"] == {"vr": "UI", "Value": [syntax]}
        assert list(dataset) == sorted(dataset)
        assert dataset["7FE00010"]["BulkDataURI"].endswith("/bulkdata/7FE00010")


def test_the_attribute_of_the_file_stays(clinic: PartitionClient) -> None:
    clinic.stored(video(b"stream", AvailableTransferSyntaxUID=MPEG_2, **UIDS))
    (dataset,) = clinic.get(f"{LEVELS[-1]}/metadata").get_json(force=True)
    assert value(dataset, "00083002") == MPEG_2


def test_an_image_does_not_name_it(clinic: PartitionClient) -> None:
    clinic.stored(encapsulated([[b"picture!"]], **UIDS))
    (dataset,) = clinic.get(f"{LEVELS[-1]}/metadata").get_json(force=True)
    assert "00083002" not in dataset


def test_version_1_does_not_name_it(strict: PartitionClient) -> None:
    strict.stored(video(b"stream", **UIDS))
    (dataset,) = strict.get(f"{LEVELS[-1]}/metadata").get_json(force=True)
    assert "00083002" not in dataset
