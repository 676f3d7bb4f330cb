"""Each image among the test files of pydicom as pictures and as bulk data (§4.10, §4.13, §4.14).

The picture is that of a short pipeline over the pixels that pydicom decodes. The bulk data is what pydicom reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import pixel_array

from app import bootstrap, create_app
from app.settings import Settings
from tests.support.bulk_data import located_parts
from tests.support.bundled_files import complete, images
from tests.support.dicomweb import PartitionClient

pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore")]

REFUSED = {"JPEG2000-embedded-sequence-delimiter.dcm": "The JPEG 2000 codestream has more than 65535 tiles."}
"""The files whose pixels nobody can decode, with the reason of the answer."""
NO_PYDICOM = {"JPEG-lossy.dcm", "JPGExtended.dcm", "SC_rgb_jpeg_gdcm.dcm", "badVR.dcm"}
"""The files that pydicom does not decode with the plugins that are installed."""
NO_REFERENCE = ("liver", "rtdose")
"""The files that are shown in colours of their own begin so."""
OCTETS = 'multipart/related; type="application/octet-stream"'


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartitionClient]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("archive"), log_level="critical", decoding_processes=1)
    bootstrap.initialise(settings)
    app = create_app(settings, bootstrap.build_engine(settings))
    yield PartitionClient(app.test_client())
    app.extensions["bulkhead"].frame_decoder.close()


def opened(data: bytes) -> NDArray[Any]:
    """Return a picture as samples of red, green and blue."""
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"), float)


def reference(dataset: Dataset) -> NDArray[Any] | None:
    """Return the samples of the first frame from 0 to 255, as pydicom decodes them; None without a window."""
    pixels = pixel_array(dataset, index=0)
    photometric = dataset.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        return np.asarray(apply_color_lut(pixels, dataset) / 257, float)
    if not photometric.startswith("MONOCHROME"):
        return np.asarray(pixels / 2.0 ** (dataset.BitsStored - 8), float)
    if "WindowWidth" not in dataset:
        return None
    center, width = (float(np.atleast_1d(dataset[name].value)[0]) for name in ("WindowCenter", "WindowWidth"))
    shown = np.clip(((apply_modality_lut(pixels, dataset) - center + 0.5) / (width - 1) + 0.5) * 255, 0, 255)
    return np.repeat(shown[..., np.newaxis], 3, axis=-1)


@pytest.mark.parametrize("name", images())
def test_the_pictures_and_the_pixel_data_of_a_file(client: PartitionClient, name: str) -> None:
    data = complete(name)
    client.stored(data)
    stored = pydicom.dcmread(BytesIO(data))
    study = f"/studies/{stored.StudyInstanceUID}"
    series = f"{study}/series/{stored.SeriesInstanceUID}"
    instance = f"{series}/instances/{stored.SOPInstanceUID}"
    levels = (study, series, instance, f"{instance}/frames/1")
    try:
        check_pixel_data(client, instance, stored)
        if name in REFUSED:
            for path in levels:
                for resource in ("rendered", "thumbnail"):
                    answer = client.get(f"{path}/{resource}", "image/png")
                    assert (answer.status_code, answer.text.endswith(f": {REFUSED[name]}")) == (406, True)
            return
        check_pictures(client, levels, stored, name)
    finally:
        client.delete(study)


def check_pictures(client: PartitionClient, levels: tuple[str, ...], stored: Dataset, name: str) -> None:
    """Check that each level has the picture of the first frame, and a small one."""
    pictures = [client.get(f"{path}/rendered", "image/png") for path in levels]
    assert [(each.status_code, each.content_type) for each in pictures] == [(200, "image/png")] * 4
    assert len({each.data for each in pictures}) == 1
    picture = opened(pictures[0].data)
    assert picture.shape == (stored.Rows, stored.Columns, 3)
    for media_type in ("image/jpeg", "image/webp"):
        assert np.abs(opened(client.get(f"{levels[2]}/rendered", media_type).data) - picture).mean() < 2.5, media_type
    if name not in NO_PYDICOM and not name.startswith(NO_REFERENCE):
        expected = reference(stored)
        if expected is not None:
            assert np.abs(expected - picture).mean() < 0.6
    for path in levels:
        small = client.get(f"{path}/thumbnail", "image/png")
        assert small.status_code == 200
        assert max(Image.open(BytesIO(small.data)).size) == min(max(stored.Rows, stored.Columns), 256)


def check_pixel_data(client: PartitionClient, instance: str, stored: Dataset) -> None:
    """Check that the metadata names the pixel data, and that its URL has the bytes that pydicom reads."""
    (metadata,) = client.get(f"{instance}/metadata", "application/dicom+json").get_json()
    path = metadata["7FE00010"]["BulkDataURI"].partition(client.prefix)[2]
    got = [part.body for part in located_parts(client.get(path, OCTETS))]
    pixels = stored.PixelData
    if stored.file_meta.TransferSyntaxUID.is_encapsulated:
        frames = list(generate_frames(pixels, number_of_frames=int(stored.get("NumberOfFrames", 1) or 1)))
        assert [each.rstrip(b"\0") for each in got] == [each.rstrip(b"\0") for each in frames]
        return
    if not stored.original_encoding[1] and stored["PixelData"].VR == "OW":
        word = max(stored.BitsAllocated // 8, 2)
        pixels = np.frombuffer(pixels, f">u{word}").astype(f"<u{word}").tobytes()
    assert got == [pixels]
