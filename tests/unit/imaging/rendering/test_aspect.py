"""The shape of pixels comes from spacings or Pixel Aspect Ratio."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.imaging.rendering.images import image, rendered, sequence_item

GRAY = np.zeros((2, 2), np.uint8)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, 1),
        ({"PixelAspectRatio": [2, 1]}, 2),
        ({"PixelSpacing": [0.5, 0.25], "PixelAspectRatio": [1, 3]}, 2),
        ({"ImagerPixelSpacing": [1, 4]}, 0.25),
        ({"NominalScannedPixelSpacing": [3, 1]}, 3),
        ({"PixelSpacing": [0, 1], "ImagerPixelSpacing": [2, 1]}, 2),
        ({"PixelAspectRatio": [0, 0]}, 1),
        ({"PixelAspectRatio": [-1, 2]}, 1),
        ({"PixelAspectRatio": [1, 100]}, 1),
        ({"PixelAspectRatio": [100, 1]}, 1),
        ({"PixelAspectRatio": 5}, 1),
    ],
)
def test_height_and_width_of_a_pixel(attributes: dict[str, Any], expected: float) -> None:
    height, width = rendered(GRAY, image(GRAY, **attributes)).pixel_aspect
    assert height / width == expected


def test_the_spacing_of_a_functional_group() -> None:
    shared = sequence_item(PixelMeasuresSequence=sequence_item(PixelSpacing=[3, 1]))
    assert rendered(GRAY, image(GRAY, SharedFunctionalGroupsSequence=shared)).pixel_aspect == (3, 1)
