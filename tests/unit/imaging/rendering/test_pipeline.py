"""What callers of the pipeline rely on: windows of a series, thumbnails, tables that are kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from app.errors import ImageFailure
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import DecodedFrame
from app.imaging.rendering.icc_profiles import icc_profile
from app.imaging.rendering.parameters import ColourProfile, Window
from app.imaging.rendering.pipeline import RenderingPipeline
from app.imaging.rendering.window import windowed
from tests.unit.imaging.rendering.images import EXPLICIT, image, pipeline, reader, sequence_item
from tests.unit.imaging.rendering.test_overlays import add_overlay


def gray(values: Any, dtype: str = "int16") -> DecodedFrame:
    return DecodedFrame(samples=np.array(values, dtype), photometric="MONOCHROME2")


FRAME = gray([[0, 10, 20]])


@pytest.mark.parametrize(
    ("attributes", "photometric", "expected"),
    [
        ({}, "MONOCHROME2", True),
        ({"WindowCenter": 1, "WindowWidth": 2}, "MONOCHROME2", False),
        ({"WindowCenter": 1, "WindowWidth": 0}, "MONOCHROME2", True),
        ({"VOILUTSequence": sequence_item(LUTDescriptor=[1, 0, 8], LUTData=b"\1\0")}, "MONOCHROME2", False),
        ({"SegmentationType": "BINARY"}, "MONOCHROME2", False),
        ({}, "PALETTE COLOR", False),
    ],
)
def test_images_without_a_window_need_one(attributes: dict[str, Any], photometric: str, expected: bool) -> None:
    assert pipeline(FRAME.samples, image(FRAME.samples, photometric, **attributes)).needs_window() is expected


def test_colours_need_no_window() -> None:
    samples = np.zeros((1, 1, 3), np.uint8)
    assert not pipeline(samples, image(samples, "RGB")).needs_window()


def test_a_window_of_the_series_is_used_where_the_attributes_have_none() -> None:
    pictures = pipeline(FRAME.samples, image(FRAME.samples))
    assert pictures.automatic_window(FRAME) == Window(10, 20, "linear-exact")
    assert pictures.render(FRAME).pixels.tolist() == [[0, 128, 255]]
    assert pictures.render(FRAME, default=Window(20, 40, "linear-exact")).pixels.tolist() == [[0, 64, 128]]
    with_window = pipeline(FRAME.samples, image(FRAME.samples, WindowCenter=10.5, WindowWidth=21))
    assert with_window.render(FRAME, default=Window(20, 40)).pixels.tolist() == [[0, 128, 255]]


def test_the_window_of_a_dose_begins_at_0() -> None:
    dataset = image(FRAME.samples, SOPClassUID="1.2.840.10008.5.1.4.1.1.481.2", DoseGridScaling=0.5)
    assert pipeline(FRAME.samples, dataset).automatic_window(gray([[5, 10, 20]])) == Window(5, 10, "linear-exact")


def test_rows_and_columns_are_left_out() -> None:
    frame = gray(np.arange(35).reshape(5, 7))
    pictures = pipeline(frame.samples, image(frame.samples, WindowCenter=128, WindowWidth=256))
    assert pictures.render(frame, step=3).pixels.tolist() == [[0, 3, 6], [21, 24, 27]]
    dataset = add_overlay(image(frame.samples, WindowCenter=128, WindowWidth=256), [[1]], origin=[3, 6])
    assert pipeline(frame.samples, dataset).render(frame, step=3).pixels.tolist() == [[0, 255, 6], [21, 24, 27]]


@pytest.mark.parametrize(
    ("width", "height", "step"), [(256, 256, 8), (4096, 4096, 1), (10000, 1, 1), (1, 1, 2048), (0, 0, 2048)]
)
def test_a_thumbnail_is_made_from_at_least_twice_its_size(width: int, height: int, step: int) -> None:
    dataset = image(FRAME.samples, Rows=4096, Columns=5000)
    assert pipeline(FRAME.samples, dataset).thumbnail_step(width, height) == step


def test_the_table_of_a_window_is_computed_once() -> None:
    pictures = pipeline(FRAME.samples, image(FRAME.samples, WindowCenter=10, WindowWidth=20))
    with patch("app.imaging.rendering.grayscale.windowed", side_effect=windowed) as computed:
        for _ in range(3):
            pictures.render(FRAME)
        assert computed.call_count == 1
        for center in range(1, 100):
            pictures.render(FRAME, window=Window(center, 5))
    kept = sum(table.nbytes for table in pictures._grayscale._tables.values())
    assert kept <= 4 << 16


def test_the_samples_of_a_frame_are_not_changed() -> None:
    samples = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    samples.setflags(write=False)
    frame = DecodedFrame(samples=samples, photometric="RGB")
    dataset = add_overlay(image(samples, "RGB"), [[1]])
    assert pipeline(samples, dataset).render(frame).pixels[0, 0].tolist() == [255, 255, 255]
    assert samples[0, 0].tolist() == [0, 1, 2]


def test_single_bits_may_be_booleans() -> None:
    frame = gray([[False, True]], "bool")
    dataset = image(np.zeros((1, 2), np.uint8), BitsStored=1, HighBit=0)
    attributes = reader(dataset)
    pictures = RenderingPipeline(attributes, PixelDescription.of(attributes, EXPLICIT))
    assert pictures.render(frame).pixels.tolist() == [[0, 255]]


def test_frames_larger_than_a_block() -> None:
    """They are computed in parts. Each part lies at its place."""
    frame: NDArray[Any] = np.arange(300 * 400).reshape(300, 400)
    for dtype in ("uint16", "uint32", "float64"):
        samples = (frame % 256).astype(dtype)
        found = pipeline(samples, image(samples, WindowCenter=128, WindowWidth=256)).render(gray(samples, dtype)).pixels
        assert np.array_equal(found, samples)


def test_floating_point_colours_are_an_image_failure() -> None:
    samples = np.zeros((1, 1, 3), np.float32)
    with pytest.raises(ImageFailure, match=r"^Colours that are floating point numbers are not supported\.$"):
        pipeline(samples, image(samples, "RGB")).render(DecodedFrame(samples=samples, photometric="RGB"))


def test_a_dataset_without_values_has_a_picture() -> None:
    samples = np.array([[0, 255]], np.uint8)
    dataset = Dataset()
    dataset.Rows, dataset.Columns, dataset.BitsAllocated = 1, 2, 8
    assert pipeline(samples, dataset).render(gray(samples, "uint8")).pixels.tolist() == [[0, 255]]


def test_threads_share_a_pipeline() -> None:
    """Each gets the picture of its window and its colour space, although the tables replace each other."""
    samples = np.arange(64, dtype=np.int16).reshape(8, 8)
    grays = pipeline(samples, image(samples))
    colours = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    pictures = pipeline(colours, image(colours, "RGB", ICCProfile=icc_profile("adobergb")))
    spaces: tuple[ColourProfile, ...] = ("no", "yes", "srgb", "rommrgb")

    def render(number: int) -> tuple[bytes, bytes]:
        shown = grays.render(gray(samples), window=Window(number % 16, 20))
        colour = pictures.render(DecodedFrame(samples=colours, photometric="RGB"), icc_profile=spaces[number % 4])
        return shown.pixels.tobytes(), colour.pixels.tobytes()

    expected = [render(number) for number in range(16)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(render, range(96))) == [expected[number % 16] for number in range(96)]
