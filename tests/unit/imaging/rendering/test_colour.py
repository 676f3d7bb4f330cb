"""Colour pictures from each photometric interpretation."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.pixels.processing import convert_color_space

from app.errors import ImageFailure
from app.imaging.pixels.frame import DecodedFrame
from tests.unit.imaging.rendering.images import image, pipeline, rendered

RANDOM = np.random.default_rng(7)


def test_rgb_of_8_bits_is_shown_as_it_is() -> None:
    samples = RANDOM.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    assert np.array_equal(rendered(samples, image(samples, "RGB")).pixels, samples)


def test_rgb_of_16_bits_is_scaled() -> None:
    samples = np.array([[[0, 32768, 65535]]], np.uint16)
    assert rendered(samples, image(samples, "RGB")).pixels.tolist() == [[[0, 128, 255]]]


def test_ybr_full_is_that_of_pydicom() -> None:
    samples = RANDOM.integers(0, 256, (50, 70, 3)).astype(np.uint8)
    expected = convert_color_space(samples, "YBR_FULL", "RGB").astype(int)
    assert np.abs(rendered(samples, image(samples, "YBR_FULL")).pixels - expected).max() <= 1


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "YBR_ICT"])
def test_other_names_of_full_ybr(photometric: str) -> None:
    samples = RANDOM.integers(0, 256, (4, 6, 3)).astype(np.uint8)
    expected = rendered(samples, image(samples, "YBR_FULL")).pixels
    assert np.array_equal(rendered(samples, image(samples, photometric)).pixels, expected)


def test_partial_ybr_has_black_at_16_and_white_at_235() -> None:
    samples = np.array([[[16, 128, 128], [235, 128, 128], [126, 128, 128], [81, 90, 240], [0, 0, 0]]], np.uint8)
    found = rendered(samples, image(samples, "YBR_PARTIAL_420")).pixels[0]
    assert found.tolist() == [[0, 0, 0], [255, 255, 255], [128, 128, 128], [254, 0, 0], [0, 136, 0]]


def test_reversible_ybr() -> None:
    """Y = floor((R + 2G + B) / 4), Cb = B - G, Cr = R - G (ISO 15444-1 G.2), with 128 added to Cb and Cr."""
    colours = RANDOM.integers(60, 180, (5, 5, 3))
    red, green, blue = np.moveaxis(colours, 2, 0)
    samples = np.stack([(red + 2 * green + blue) // 4, blue - green + 128, red - green + 128], axis=2).astype(np.uint8)
    assert np.array_equal(rendered(samples, image(samples, "YBR_RCT")).pixels, colours)


def test_argb_and_cmyk() -> None:
    samples = np.array([[[9, 1, 2, 3]]], np.uint8)
    assert rendered(samples, image(samples, "ARGB")).pixels.tolist() == [[[1, 2, 3]]]
    samples = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255]]], np.uint8)
    assert rendered(samples, image(samples, "CMYK")).pixels.tolist() == [[[255, 255, 255], [0, 255, 255], [0, 0, 0]]]


@pytest.mark.parametrize(
    ("dtype", "bits", "white"), [("uint16", 12, 4095), ("uint32", 32, 2**32 - 1), ("uint8", 5, 31)]
)
def test_colours_are_scaled_to_8_bits(dtype: str, bits: int, white: int) -> None:
    samples = np.array([[[0, white // 2 + 1, white]]], dtype)
    found = rendered(samples, image(samples, "RGB", BitsStored=bits, HighBit=bits - 1)).pixels
    assert np.abs(np.subtract(found[0, 0], [0, 128, 255], dtype=int)).max() <= 4


def test_colours_of_a_name_for_gray_are_rgb() -> None:
    samples = np.array([[[1, 2, 3]]], np.uint8)
    assert rendered(samples, image(samples, "MONOCHROME2")).pixels.tolist() == [[[1, 2, 3]]]


def test_gray_with_a_name_for_colours_is_gray() -> None:
    samples = np.array([[0, 255]], np.uint8)
    assert rendered(samples, image(samples, "RGB")).pixels.tolist() == [[0, 255]]


@pytest.mark.parametrize("photometric", ["HSV", "SOMETHING"])
def test_an_unknown_photometric_interpretation_is_an_image_failure(photometric: str) -> None:
    samples = np.zeros((1, 1, 3), np.uint8)
    with pytest.raises(ImageFailure, match=rf"^The photometric interpretation '{photometric}' is not supported\.$"):
        rendered(samples, image(samples, photometric))


def test_cmyk_of_three_samples_is_an_image_failure() -> None:
    samples = np.zeros((1, 1, 3), np.uint8)
    with pytest.raises(ImageFailure, match=r"^The photometric interpretation CMYK needs four samples per pixel\.$"):
        rendered(samples, image(samples, "CMYK"))


def test_colours_of_two_samples_are_an_image_failure() -> None:
    samples = np.zeros((1, 1, 2), np.uint8)
    pictures = pipeline(samples, image(np.zeros((1, 1, 3), np.uint8), "RGB"))
    with pytest.raises(ImageFailure, match=r"^The photometric interpretation RGB needs three samples per pixel\.$"):
        pictures.render(DecodedFrame(samples=samples, photometric="RGB"))
