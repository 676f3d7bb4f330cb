"""The test files that come with pydicom: every frame has the samples that pydicom decodes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom.data
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.pixels.utils import pixel_array

from app.dicom.encoding.frames import frame_table
from app.dicom.encoding.part10 import parse
from app.errors import BulkheadError, ImageFailure
from app.imaging.codecs import conversion
from tests.support.images import stored_frames

FOLDER: Final = Path(pydicom.data.__file__).parent / "test_files"

NOT_OF_PYDICOM: Final = {
    "GDCMJ2K_TextGBR.dcm": "pydicom cannot decode it: its codestream and its attributes disagree",
    "JPEG-lossy.dcm": "pydicom cannot decode JPEG of 12 bits without GPL software",
    "JPGExtended.dcm": "pydicom cannot decode JPEG of 12 bits without GPL software",
    "SC_rgb_jpeg_gdcm.dcm": "pydicom cannot decode lossless JPEG without GPL software",
}


DAMAGED: Final = "JPEG2000-embedded-sequence-delimiter.dcm"
"""A sequence delimiter was written over the header of the codestream of this file."""


def _images() -> list[str]:
    found = []
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            try:
                if frame_table(data, parse(data)).frames:
                    found.append(str(path.relative_to(FOLDER)))
            except BulkheadError:
                continue
    return found


IMAGES: Final = _images()


def _expected(name: str) -> NDArray[Any]:
    """Return all frames as pydicom decodes them, without a colour transform."""
    with warnings.catch_warnings(action="ignore"):
        dataset = dcmread(FOLDER / name, force=True)
        if not isinstance(dataset.get("NumberOfFrames", 1), int):
            dataset.NumberOfFrames = 1
        return pixel_array(dataset, raw=True)


@pytest.mark.parametrize("name", [name for name in IMAGES if name not in NOT_OF_PYDICOM and name != DAMAGED])
def test_every_frame_has_the_samples_that_pydicom_decodes(name: str) -> None:
    description, frames = stored_frames((FOLDER / name).read_bytes())
    decoded = np.stack([conversion.decode(description, frame).samples for frame in frames])
    np.testing.assert_array_equal(decoded, _expected(name).reshape(decoded.shape))


def test_there_are_many_files() -> None:
    assert len(IMAGES) > 80
    assert {DAMAGED, *NOT_OF_PYDICOM} < set(IMAGES)


# The numbers are those of the files that dcmdjpeg of DCMTK writes.
@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("JPEG-lossy.dcm", [0, 264, 3767007]),
        ("JPGExtended.dcm", [0, 264, 3767007]),
        ("SC_rgb_jpeg_gdcm.dcm", [0, 255, 3831000]),
    ],
)
def test_frames_that_pydicom_does_not_decode(name: str, samples: list[int]) -> None:
    description, (frame,) = stored_frames((FOLDER / name).read_bytes())
    decoded = conversion.decode(description, frame)
    assert decoded.samples.shape[:2] == (description.rows, description.columns)
    assert samples == [int(decoded.samples.min()), int(decoded.samples.max()), int(decoded.samples.sum())]


def test_a_codestream_whose_header_is_damaged_is_refused() -> None:
    description, (frame,) = stored_frames((FOLDER / DAMAGED).read_bytes())
    with pytest.raises(ImageFailure, match="The JPEG 2000 codestream has more than 65535 tiles"):
        conversion.decode(description, frame)


@pytest.mark.parametrize(
    ("name", "photometric"),
    [
        ("SC_rgb_dcmtk_+eb+cr.dcm", "RGB"),  # component identifiers R, G, B; Adobe marker: no transform
        ("SC_rgb_dcmtk_+eb+cy+np.dcm", "YBR_FULL"),  # JFIF marker; 4:2:0
        ("SC_rgb_dcmtk_+eb+cy+s2.dcm", "YBR_FULL"),  # JFIF marker; 4:2:2
        ("SC_rgb_jpeg_app14_dcmd.dcm", "RGB"),  # Adobe marker: no transform
        ("SC_jpeg_no_color_transform.dcm", "RGB"),  # no marker
        ("SC_jpeg_no_color_transform_2.dcm", "RGB"),  # Adobe marker: no transform
        ("SC_rgb_jpeg_lossy_gdcm.dcm", "YBR_FULL"),  # no marker
        ("SC_rgb_gdcm_KY.dcm", "RGB"),
        ("examples_jpeg2k.dcm", "RGB"),  # YBR_RCT in the file
        ("GDCMJ2K_TextGBR.dcm", "RGB"),  # YBR_RCT in the file
        ("examples_palette.dcm", "PALETTE COLOR"),
        ("SC_ybr_full_422_uncompressed.dcm", "YBR_FULL"),
    ],
)
def test_the_photometric_interpretation_of_decoded_samples(name: str, photometric: str) -> None:
    description, frames = stored_frames((FOLDER / name).read_bytes())
    assert conversion.decode(description, frames[0]).photometric == photometric
