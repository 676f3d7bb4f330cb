"""Pictures beside those of DCMTK's dcmj2pnm: windows, lookup tables, presentation, palettes and overlays."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.frames import frame_table
from app.dicom.encoding.part10 import parse
from app.dicom.encoding.transcode import native_frame
from app.imaging.pixels import native
from app.imaging.pixels.description import PixelDescription
from app.imaging.rendering.pipeline import RenderingPipeline

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("dcmj2pnm") is None, reason="dcmj2pnm is missing (Debian: dcmtk)"),
]

ROOT: Final = Path(pydicom.__file__).parent / "data" / "test_files"
CT: Final = "dicomdirtests/77654033/CT2/17106"
"""Signed, with a window from -20 to 80."""


def sequence(**attributes: Any) -> list[Dataset]:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return [item]


def set_attributes(**attributes: Any) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)

    return change


def nothing(dataset: Dataset) -> None:
    """Leave a file as it is."""


def a_wide_signed_image(dataset: Dataset) -> None:
    """All values of 16 bits, and a rescale. DCMTK does not show padding in black."""
    del dataset.PixelPaddingValue
    dataset.Rows = dataset.Columns = 256
    dataset.PixelData = np.arange(-32768, 32768, dtype="<i2").tobytes()
    dataset.RescaleSlope, dataset.RescaleIntercept = "0.5", "100"
    dataset.WindowCenter, dataset.WindowWidth = "1000", "5000"


def a_voi_lut(dataset: Dataset) -> None:
    a_wide_signed_image(dataset)
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", "0"
    table = (np.sin(np.linspace(0, 6, 1000)) * 2047 + 2048).astype("<u2")
    dataset.VOILUTSequence = sequence(LUTDescriptor=[1000, -500, 12], LUTData=table.tobytes())
    dataset.VOILUTSequence[0]["LUTDescriptor"].VR = "SS"
    dataset.VOILUTSequence[0]["LUTData"].VR = "OW"


def a_modality_lut(dataset: Dataset) -> None:
    del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.PixelPaddingValue
    dataset.PixelRepresentation, dataset.Rows, dataset.Columns = 0, 10, 10
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.PixelData = np.arange(100, dtype="<u2").tobytes()
    table = np.arange(0, 2000, 20, dtype="<u2")
    dataset.ModalityLUTSequence = sequence(LUTDescriptor=[100, 0, 16], ModalityLUTType="US", LUTData=table.tobytes())
    dataset.ModalityLUTSequence[0]["LUTData"].VR = "OW"
    dataset.WindowCenter, dataset.WindowWidth = "1000", "1500"


CASES: Final[dict[str, tuple[str, Callable[[Dataset], None], list[str]]]] = {
    "window": (CT, nothing, ["+Wi", "1"]),
    "window of all values": (CT, a_wide_signed_image, ["+Wi", "1"]),
    "sigmoid": (CT, set_attributes(VOILUTFunction="SIGMOID"), ["+Wi", "1", "+Wfs"]),
    "MONOCHROME1": ("dicomdirtests/77654033/CR1/6154", nothing, ["+Wi", "1"]),
    "inverse": (CT, set_attributes(PresentationLUTShape="INVERSE"), ["+Wi", "1", "+Piv"]),
    "VOI LUT": (CT, a_voi_lut, ["+Wl", "1"]),
    "modality LUT": (CT, a_modality_lut, ["+Wi", "1"]),
    "overlay": ("examples_overlay.dcm", nothing, ["+Wi", "1", "+O", "0"]),
    "palette": ("examples_palette.dcm", nothing, []),
    "RGB": ("examples_rgb_color.dcm", nothing, []),
    "YBR_FULL_422": ("SC_ybr_full_422_uncompressed.dcm", nothing, []),
}


def by_dcmtk(path: Path, options: list[str]) -> NDArray[np.int64]:
    done = subprocess.run(["dcmj2pnm", *options, "+op", str(path)], capture_output=True, check=True)
    return np.asarray(Image.open(BytesIO(done.stdout))).astype(np.int64)


def by_the_pipeline(data: bytes) -> NDArray[np.int64]:
    part10 = parse(data)
    attributes, table = AttributeReader.of(data, part10), frame_table(data, part10)
    description = PixelDescription.of(attributes, part10.transfer_syntax.uid)
    stored = native_frame(
        table, 1, b"".join(data[start : start + size] for start, size in table.ranges(1)), little=True
    )
    picture = RenderingPipeline(attributes, description).render(native.decode(description, stored), native_data=stored)
    return picture.pixels.astype(np.int64)


@pytest.mark.parametrize("case", CASES)
def test_a_picture_is_that_of_dcmtk(case: str, tmp_path: Path) -> None:
    name, change, options = CASES[case]
    dataset = dcmread(ROOT / name)
    change(dataset)
    path = tmp_path / "image.dcm"
    dataset.save_as(path)
    expected, found = by_dcmtk(path, options), by_the_pipeline(path.read_bytes())
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 2
