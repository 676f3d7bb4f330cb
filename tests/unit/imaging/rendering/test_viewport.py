"""Regions, scales and mirrors of pictures, compared pixel by pixel (PS3.18 §8.3.5.1.3)."""

from __future__ import annotations

import numpy as np
import pytest

from app.errors import InvalidParameter
from app.imaging.rendering.parameters import Viewport
from app.imaging.rendering.picture import Picture
from app.imaging.rendering.viewport import apply_viewport, fit

RAMP = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8)


def shown(viewport: Viewport, pixels: np.ndarray = RAMP, aspect: tuple[float, float] = (1, 1)) -> np.ndarray:
    return apply_viewport(Picture(pixels=pixels, pixel_aspect=aspect), viewport).pixels


@pytest.mark.parametrize(
    ("viewport", "expected"),
    [
        (Viewport(8, 6), RAMP),
        (Viewport(8, 100), RAMP),
        (Viewport(4, 3, 2, 1, 4, 3), RAMP[1:4, 2:6]),
        (Viewport(8, 6, mirror_horizontally=True), RAMP[:, ::-1]),
        (Viewport(8, 6, mirror_vertically=True), RAMP[::-1]),
        (Viewport(4, 3, 2, 1, 4, 3, mirror_horizontally=True, mirror_vertically=True), RAMP[1:4, 2:6][::-1, ::-1]),
        (Viewport(3, 6, 5), RAMP[:, 5:]),
        (Viewport(8, 2, 0, 4), RAMP[4:]),
        (Viewport(3, 2, 5, 4, 100, 100), RAMP[4:, 5:]),  # beyond the edges
    ],
)
def test_a_region_at_its_own_size_is_exact(viewport: Viewport, expected: np.ndarray) -> None:
    assert np.array_equal(shown(viewport), expected)


@pytest.mark.parametrize(
    ("viewport", "aspect", "shape"),
    [
        (Viewport(4, 4), (1, 1), (3, 4)),
        (Viewport(100, 60), (1, 1), (60, 80)),
        (Viewport(16, 16), (2, 1), (16, 11)),
        (Viewport(16, 16), (0.5, 0.25), (16, 11)),
        (Viewport(16, 16), (1, 2), (6, 16)),
        (Viewport(1, 1), (1, 1), (1, 1)),
        (Viewport(8192, 1), (1, 1), (1, 1)),
        (Viewport(3, 1000, 0, 0, 8, 0.5), (1, 1), (1, 3)),
    ],
)
def test_the_picture_is_as_large_as_possible_in_its_true_shape(
    viewport: Viewport, aspect: tuple[float, float], shape: tuple[int, int]
) -> None:
    assert shown(viewport, aspect=aspect).shape == shape


def test_a_reduced_picture_is_the_mean_of_its_pixels() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    reduced = shown(Viewport(64, 64), pixels).astype(float)
    means = pixels.reshape(64, 8, 64, 8, 3).mean(axis=(1, 3))
    assert reduced.shape == (64, 64, 3)
    assert abs(reduced.mean() - pixels.mean()) < 1
    assert np.abs(reduced - means).mean() < 8  # one pixel of 8 would differ by about 70


@pytest.mark.parametrize("viewport", [Viewport(8, 8, 8, 0), Viewport(8, 8, 0, 6), Viewport(8, 8, 1e300, 0)])
def test_a_region_without_pixels_is_refused(viewport: Viewport) -> None:
    with pytest.raises(InvalidParameter, match="has no pixel of the image, which has 8 columns and 6 rows"):
        shown(viewport)


@pytest.mark.parametrize(
    ("aspect", "size", "shape"),
    [
        ((1, 1), (256, 256), (6, 8)),  # not enlarged
        ((1, 1), (4, 256), (3, 4)),
        ((2, 1), (256, 256), (12, 8)),
        ((1, 3), (256, 256), (6, 24)),
    ],
)
def test_a_thumbnail_is_never_enlarged(
    aspect: tuple[float, float], size: tuple[int, int], shape: tuple[int, int]
) -> None:
    assert fit(Picture(pixels=RAMP, pixel_aspect=aspect), *size).pixels.shape == shape


def test_the_profile_of_the_colours_stays() -> None:
    picture = Picture(pixels=RAMP, icc=b"profile")
    assert apply_viewport(picture, Viewport(4, 4)).icc == b"profile"
