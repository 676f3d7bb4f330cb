"""Overlays are drawn in white where they lie on the picture (PS3.3 C.9.2, C.9.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, RLELossless

from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import DecodedFrame
from app.imaging.rendering.overlays import Overlays, every_step
from app.imaging.rendering.pipeline import RenderingPipeline
from tests.unit.imaging.rendering.images import image, pipeline, reader, rendered

BLACK = np.zeros((3, 4), np.uint8)


def add_overlay(dataset: Dataset, bits: Any, group: int = 0x6000, **options: Any) -> Dataset:
    """Add an overlay plane. `bits` are (rows, columns) or (frames, rows, columns)."""
    array = np.array(bits, np.uint8)
    rows, columns = options.pop("size", array.shape[-2:])
    dataset.add_new(group << 16 | 0x0010, "US", rows)
    dataset.add_new(group << 16 | 0x0011, "US", columns)
    dataset.add_new(group << 16 | 0x0040, "CS", options.pop("kind", "G"))
    dataset.add_new(group << 16 | 0x0050, "SS", options.pop("origin", [1, 1]))
    dataset.add_new(group << 16 | 0x0100, "US", 1)
    dataset.add_new(group << 16 | 0x0102, "US", 0)
    if "frames" in options:
        dataset.add_new(group << 16 | 0x0015, "IS", options.pop("frames"))
    if "first" in options:
        dataset.add_new(group << 16 | 0x0051, "US", options.pop("first"))
    data = np.packbits(array.reshape(-1), bitorder="little").tobytes()
    dataset.add_new(group << 16 | 0x3000, "OW", data + bytes(len(data) % 2))
    assert not options
    return dataset


def drawn(number: int = 1, *, bits: Any, **options: Any) -> list[list[int]]:
    """Return 1 for white and 0 for black of a picture of three rows and four columns."""
    pixels = rendered(BLACK, add_overlay(image(BLACK), bits, **options), number).pixels
    found: list[list[int]] = (pixels // 255).tolist()
    return found


def test_an_overlay_of_the_size_of_the_image() -> None:
    bits = [[1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 1]]
    assert drawn(bits=bits) == bits
    assert drawn(bits=bits, kind="R") == bits
    assert drawn(bits=bits, group=0x601E) == bits


def test_the_origin_moves_an_overlay() -> None:
    assert drawn(bits=[[1, 1], [0, 1]], origin=[2, 3]) == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]]


def test_parts_outside_of_the_image_are_left_out() -> None:
    assert drawn(bits=[[1, 1], [1, 1]], origin=[0, 0]) == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert drawn(bits=[[1, 1], [1, 1]], origin=[3, 4]) == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    for origin in ([-32768, 1], [1, 32767], [-1, 1], [1, 5], [4, 1]):
        assert drawn(bits=[[1, 1], [1, 1]], origin=origin) == BLACK.tolist()


def test_several_overlays() -> None:
    dataset = add_overlay(image(BLACK), [[1]], origin=[1, 1])
    add_overlay(dataset, [[1]], 0x6002, origin=[3, 4])
    assert (rendered(BLACK, dataset).pixels // 255).tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]


def test_an_overlay_of_one_frame_is_on_all_frames() -> None:
    assert drawn(7, bits=[[1]])[0][0] == 1


@pytest.mark.parametrize(("number", "expected"), [(1, 0), (2, 1), (3, 2), (4, 0)])
def test_an_overlay_of_several_frames_begins_at_its_image_frame(number: int, expected: int) -> None:
    """Frames of 15 bits begin within a byte."""
    bits = np.zeros((2, 3, 5), np.uint8)
    bits[0, 0, 0] = bits[1, 2, 3] = 1
    found = np.array(drawn(number, bits=bits, frames=2, first=2))
    assert np.argwhere(found).tolist() == {0: [], 1: [[0, 0]], 2: [[2, 3]]}[expected]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_words_of_overlays_in_big_endian(number: int) -> None:
    """Frames of 15 bits begin within a word."""
    bits = np.zeros((3, 3, 5), np.uint8)
    bits[0, 0, 0] = bits[1, 2, 3] = bits[2, 1, 2] = 1
    dataset = add_overlay(image(BLACK), bits, frames=3)
    dataset[0x60003000].value = np.frombuffer(dataset[0x60003000].value, "<u2").byteswap().tobytes()
    attributes = reader(dataset, ExplicitVRBigEndian)
    mask = Overlays(attributes, PixelDescription.of(attributes, ExplicitVRBigEndian)).mask(number, None)
    assert mask is not None
    assert np.argwhere(mask).tolist() == [{1: [0, 0], 2: [2, 3], 3: [1, 2]}[number]]


def test_an_overlay_of_several_frames_begins_at_the_first_image_frame_without_an_origin() -> None:
    assert drawn(1, bits=[[[1]], [[0]]], frames=2)[0][0] == 1
    assert drawn(2, bits=[[[1]], [[0]]], frames=2)[0][0] == 0


@pytest.mark.parametrize("size", [(65535, 65535), (3, 65535), (65535, 4), (0, 0), (0, 4)])
def test_a_size_larger_than_the_data_draws_the_rows_that_there_are(size: tuple[int, int]) -> None:
    found = drawn(bits=[[1, 1, 1, 1]], size=size)
    assert found[1:] == BLACK.tolist()[1:]
    assert found[0] == ([1, 1, 1, 1] if size == (65535, 4) else [0, 0, 0, 0])


def test_overlays_are_white_on_colours() -> None:
    samples = np.zeros((1, 2, 3), np.uint8)
    samples.setflags(write=False)
    found = rendered(samples, add_overlay(image(samples, "RGB"), [[0, 1]])).pixels
    assert found.tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_an_overlay_in_bits_that_the_samples_do_not_use() -> None:
    words = np.array([[0x0801, 0x8002], [0x1003, 0x9004]], np.uint16)
    dataset = image(words, BitsStored=12, HighBit=11, WindowCenter=2048, WindowWidth=4096)
    for group, bit in ((0x6000, 15), (0x6002, 12), (0x6004, 11), (0x6006, 99)):
        dataset.add_new(group << 16 | 0x0010, "US", 2)
        dataset.add_new(group << 16 | 0x0011, "US", 2)
        dataset.add_new(group << 16 | 0x0100, "US", 16)
        dataset.add_new(group << 16 | 0x0102, "US", bit)
    pictures = pipeline(words, dataset)
    assert pictures.needs_native_data
    frame = DecodedFrame(samples=words & 0xFFF, photometric="MONOCHROME2")
    assert pictures.render(frame, native_data=words.tobytes()).pixels.tolist() == [[128, 255], [255, 255]]
    assert pictures.render(frame).pixels.tolist() == [[128, 0], [0, 0]]


def test_compressed_pixel_data_has_no_overlay() -> None:
    words = np.zeros((2, 2), np.uint16)
    dataset = image(words, BitsStored=12, HighBit=11)
    for element, value in ((0x0010, 2), (0x0011, 2), (0x0100, 16), (0x0102, 15)):
        dataset.add_new(0x60000000 | element, "US", value)
    attributes = reader(dataset)
    description = PixelDescription.of(attributes, RLELossless)
    assert not RenderingPipeline(attributes, description).needs_native_data


def test_a_line_stays_when_rows_and_columns_are_left_out() -> None:
    mask = np.zeros((5, 7), np.bool_)
    mask[3] = True
    assert every_step(mask, 2).tolist() == [[False] * 4, [True] * 4, [False] * 4]
