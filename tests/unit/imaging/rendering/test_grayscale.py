"""The grayscale pipeline, by values that were computed by hand from PS3.3 C.11 and PS3.4 N.2."""

from __future__ import annotations

import numpy as np
import pytest

from app.imaging.rendering.parameters import Window
from tests.unit.imaging.rendering.images import shades


def test_a_linear_window_is_one_narrower_than_it_says() -> None:
    """PS3.3 C.11.2.1.2.1: center 40 and width 400 reach from -160 to 239."""
    found = shades([-161, -160, 39, 40, 239, 240], WindowCenter=40, WindowWidth=400)
    assert found == [0, 0, 127, 128, 255, 255]


def test_a_linear_exact_window_is_as_wide_as_it_says() -> None:
    found = shades([0, 50, 100, 150, 200], WindowCenter=100, WindowWidth=200, VOILUTFunction="LINEAR_EXACT")
    assert found == [0, 64, 128, 191, 255]


def test_a_sigmoid_window() -> None:
    """255 / (1 + exp(-4 (x - 100) / 200))."""
    found = shades([-500, 0, 100, 200, 700], WindowCenter=100, WindowWidth=200, VOILUTFunction="SIGMOID")
    assert found == [0, 30, 128, 225, 255]


def test_the_window_applies_to_modality_values() -> None:
    found = shades([0, 500, 1000], RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=0.5, WindowWidth=2001)
    assert found == [0, 128, 255]


def test_the_first_window_of_several_counts() -> None:
    assert shades([0, 100, 1000], WindowCenter=[50.5, 500], WindowWidth=[101, 1001]) == [0, 255, 255]


def test_a_requested_window_replaces_that_of_the_attributes() -> None:
    assert shades([0, 5, 10], WindowCenter=500, WindowWidth=3, window=Window(5, 10, "linear-exact")) == [0, 128, 255]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
def test_every_type_of_samples_gives_the_same_shades(dtype: str) -> None:
    found = shades([0, 50, 100], dtype, WindowCenter=50, WindowWidth=100, VOILUTFunction="LINEAR_EXACT")
    assert found == [0, 128, 255]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floating_point_samples(dtype: str) -> None:
    found = shades([-1, 0, 0.25, 1, np.nan, np.inf, -np.inf], dtype, WindowCenter=0.5, WindowWidth=1,
                   VOILUTFunction="LINEAR_EXACT")  # fmt: skip
    assert found == [0, 0, 64, 255, 0, 255, 0]
