"""Colour pictures from each photometric interpretation."""

from __future__ import annotations

import numpy as np
from pydicom.pixels.processing import convert_color_space

from tests.unit.imaging.rendering.images import image, rendered

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
