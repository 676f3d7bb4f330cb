"""An archive that each client finds."""

from __future__ import annotations

import pytest

from tests.support.dicomweb import PartitionClient
from tests.support.instances import JPEG_BASELINE, encapsulated, make_instance, multiframe

STUDY, CT, MOVIE, JPEG = "2.25.10", "2.25.11", "2.25.12", "2.25.13"
PICTURES = [b"\xff\xd8\xff\xe0%d___\xff\xd9" % number for number in (1, 2, 3)]


@pytest.fixture
def archive(clinic: PartitionClient) -> list[bytes]:
    """Store a study of a CT series of two slices, an uncompressed movie, and a JPEG image of three frames.

    Return the files in this order.
    """
    common = {"study": STUDY, "patient_name": "Doe^Jane", "StudyDescription": "Chest", "StudyTime": "101500"}
    files = [
        make_instance(**common, series=CT, instance="2.25.110", SeriesDescription="axial"),
        make_instance(**common, series=CT, instance="2.25.111", SeriesDescription="axial", InstanceNumber="2"),
        multiframe(3, **common, rows=8, columns=8, series=MOVIE, instance="2.25.120", modality="XA"),
        encapsulated(
            [[each] for each in PICTURES], **common, series=JPEG, instance="2.25.130", transfer_syntax=JPEG_BASELINE
        ),
    ]
    clinic.stored(*files)
    return files


@pytest.fixture
def jpeg(archive: list[bytes]) -> str:
    """The path of the JPEG image."""
    return f"/studies/{STUDY}/series/{JPEG}/instances/2.25.130"


@pytest.fixture
def movie(archive: list[bytes]) -> str:
    """The path of the uncompressed movie."""
    return f"/studies/{STUDY}/series/{MOVIE}/instances/2.25.120"
