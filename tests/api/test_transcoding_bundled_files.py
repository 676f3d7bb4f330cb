"""Each test file of pydicom in each target: pydicom decodes the same pixels from it as from the file (§4.3)."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

from app import bootstrap, create_app
from app.settings import Settings
from tests.support.bundled_files import complete, images
from tests.support.compressed_images import TARGETS
from tests.support.dicomweb import PartitionClient

pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore")]

UNSUPPORTED = "The specified transcoding is not supported."
ALL = frozenset(TARGETS)
BROKEN = {
    "JPEG2000-embedded-sequence-delimiter.dcm": ALL,  # its codestream names more than a million tiles
}
"""The files whose pixels nobody can decode."""
NO_PYDICOM = {"JPEG-lossy.dcm", "JPGExtended.dcm", "SC_rgb_jpeg_gdcm.dcm", "badVR.dcm"}
"""The files that pydicom does not decode with the plugins that are installed."""


def refused(name: str, dataset: Dataset) -> frozenset[str]:
    """Return the targets that do not hold the image."""
    if name in BROKEN:
        return BROKEN[name]
    if dataset.BitsAllocated == 1:
        return ALL - {"Explicit LE"}
    if "PixelData" not in dataset:
        return ALL - {"Explicit LE"}
    return frozenset({"HTJ2K", "JPEG-LS", "JPEG 2000"}) if dataset.BitsAllocated == 32 else frozenset()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartitionClient]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("archive"), log_level="critical", decoding_processes=1)
    bootstrap.initialise(settings)
    app = create_app(settings, bootstrap.build_engine(settings))
    yield PartitionClient(app.test_client())
    app.extensions["bulkhead"].frame_decoder.close()


@pytest.mark.parametrize("name", images())
def test_a_file_in_each_target(client: PartitionClient, name: str) -> None:
    data = complete(name)
    client.stored(data)
    stored = pydicom.dcmread(BytesIO(data))
    path = f"/studies/{stored.StudyInstanceUID}/series/{stored.SeriesInstanceUID}/instances/{stored.SOPInstanceUID}"
    impossible = refused(name, stored)
    for target, syntax in TARGETS.items():
        response = client.get(path, f"application/dicom; transfer-syntax={syntax}")
        if target in impossible and syntax != stored.file_meta.TransferSyntaxUID:
            assert (response.status_code, response.text.startswith(UNSUPPORTED)) == (406, True), target
            continue
        assert response.status_code == 200, (target, response.text)
        result = pydicom.dcmread(BytesIO(response.data))
        assert result.file_meta.TransferSyntaxUID == syntax
        if name not in BROKEN and name not in NO_PYDICOM:
            np.testing.assert_array_equal(pixel_array(result, raw=True), pixel_array(stored, raw=True))
    client.delete(f"/studies/{stored.StudyInstanceUID}")


def test_there_are_files() -> None:
    assert len(images()) > 60
