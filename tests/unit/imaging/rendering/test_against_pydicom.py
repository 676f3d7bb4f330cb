"""The pictures of pydicom's own test files are those that its modality, window and colour functions make."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_windowing, convert_color_space
from pydicom.pixels.utils import pixel_array

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.part10 import parse
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import DecodedFrame
from app.imaging.rendering.pipeline import RenderingPipeline

ROOT: Final = Path(pydicom.__file__).parent / "data" / "test_files"
WINDOWED: Final = ("MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm")
DIRECTORY: Final = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "dicomdirtests").glob("[0-9]*/*/*"))
COLOURS: Final = (
    "ExplVR_BigEnd.dcm", "SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm", "SC_ybr_full_422_uncompressed.dcm",
    "examples_rgb_color.dcm", "examples_palette.dcm", "SC_rgb_rle.dcm", "SC_rgb_rle_16bit.dcm",
)  # fmt: skip


def read(name: str) -> tuple[Dataset, NDArray[Any], NDArray[np.int64]]:
    """Return the dataset of a file, its first frame as pydicom decodes it, and the picture."""
    path = ROOT / name
    dataset, data = dcmread(path), path.read_bytes()
    part10 = parse(data)
    attributes = AttributeReader.of(data, part10)
    samples = pixel_array(dataset, index=0, raw=True)
    frame = DecodedFrame(samples=samples, photometric=dataset.PhotometricInterpretation)
    description = PixelDescription.of(attributes, part10.transfer_syntax.uid)
    return dataset, samples, RenderingPipeline(attributes, description).render(frame).pixels.astype(np.int64)


def windowed(samples: NDArray[Any], dataset: Dataset) -> NDArray[np.float64]:
    """Return the first window of pydicom on the scale 0 to 255."""
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    signed = dataset.PixelRepresentation == 1
    low = -(2 ** (dataset.BitsStored - 1)) if signed else 0
    output = apply_windowing(apply_modality_lut(samples, dataset), dataset, index=0)
    share: NDArray[np.float64] = (output - (low * slope + intercept)) / ((2**dataset.BitsStored - 1) * slope) * 255
    return 255 - share if dataset.PhotometricInterpretation == "MONOCHROME1" else share


@pytest.mark.parametrize("name", (*WINDOWED, *DIRECTORY))
def test_windows(name: str) -> None:
    dataset, samples, picture = read(name)
    assert "WindowCenter" in dataset
    expected = windowed(samples, dataset)
    expected[samples == dataset.get("PixelPaddingValue", "none")] = 0
    assert np.abs(picture - expected).max() <= 1


@pytest.mark.parametrize("name", COLOURS)
def test_colours(name: str) -> None:
    dataset, samples, picture = read(name)
    photometric = dataset.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        expected = apply_color_lut(samples, dataset) >> 8
    elif photometric.startswith("YBR"):
        expected = convert_color_space(samples, photometric, "RGB")
    else:
        expected = samples >> (dataset.BitsStored - 8)
    assert np.abs(picture - expected).max() <= 1


def test_the_overlay_is_that_of_pydicom() -> None:
    dataset, samples, picture = read("examples_overlay.dcm")
    drawn = dataset.overlay_array(0x6000) == 1
    assert drawn.any()
    assert (picture[drawn] == 255).all()
    assert np.abs(picture - windowed(samples, dataset))[~drawn].max() <= 1
