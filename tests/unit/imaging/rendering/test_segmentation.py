"""Segmentations are shown in the colours of their segments, and doses in those of a rainbow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from app.errors import ImageFailure
from app.imaging.rendering.lab import numbered_colours, rgb_of_lab
from app.imaging.rendering.parameters import Window
from tests.unit.imaging.rendering.images import image, rendered, sequence_item

RED = [35579, 53664, 50858]  # (255, 0, 0) as CIELab values


def lab_words(lightness: float, a: float, b: float) -> list[float]:
    return [lightness / 100 * 65535, (a + 128) / 255 * 65535, (b + 128) / 255 * 65535]


@pytest.mark.parametrize(
    ("lab", "rgb"),
    [
        (lab_words(0, 0, 0), (0, 0, 0)),
        (lab_words(100, 0, 0), (255, 255, 255)),
        (lab_words(53.585, 0, 0), (128, 128, 128)),
        (lab_words(54.29, 80.81, 69.89), (255, 0, 0)),
        (lab_words(87.82, -79.27, 80.99), (0, 255, 0)),
        (lab_words(29.57, 68.30, -112.03), (0, 0, 255)),
    ],
)
def test_a_cielab_colour_is_that_of_the_profile_connection_space(lab: list[float], rgb: tuple[int, int, int]) -> None:
    """CIELab values under D50 of the colours of sRGB (PS3.3 C.10.7.1.1, ICC.1:2010 Annex E)."""
    assert np.abs(np.subtract(rgb_of_lab(lab), rgb)).max() <= 2


def segment(number: int, *lab: int) -> Dataset:
    found = Dataset()
    found.SegmentNumber = number
    if lab:
        found.RecommendedDisplayCIELabValue = list(lab)
    return found


def segmentation(samples: Any, kind: str, segments: list[Dataset], **attributes: Any) -> Dataset:
    return image(samples, SegmentationType=kind, SegmentSequence=segments, **attributes)


def group(number: int) -> Dataset:
    found = Dataset()
    found.SegmentIdentificationSequence = sequence_item(ReferencedSegmentNumber=number)
    return found


def colours(samples: Any, dataset: Dataset, number: int = 1) -> list[list[int]]:
    found: list[list[int]] = rendered(samples, dataset, number).pixels.reshape(-1, 3).tolist()
    return found


BITS = np.array([[0, 1]], np.uint8)


def test_each_frame_of_a_binary_segmentation_has_the_colour_of_its_segment() -> None:
    dataset = segmentation(BITS, "BINARY", [segment(1, *RED), segment(5)], BitsStored=1, HighBit=0,
                           PerFrameFunctionalGroupsSequence=[group(1), group(5), group(9)])  # fmt: skip
    first, second, third = (colours(BITS, dataset, number) for number in (1, 2, 3))
    assert first[0] == second[0] == third[0] == [0, 0, 0]
    assert np.abs(np.subtract(first[1], [255, 0, 0])).max() <= 2
    assert [second[1], third[1]] == numbered_colours(np.array([5.0, 9.0])).tolist()


def test_a_segment_whose_colour_is_black_has_the_colour_of_its_number() -> None:
    assert (
        colours(BITS, segmentation(BITS, "BINARY", [segment(1, 0, 0, 0)]))[1]
        == numbered_colours(np.ones(1))[0].tolist()
    )


def test_a_fractional_segmentation_is_darker_for_smaller_values() -> None:
    samples = np.array([[0, 50, 100, 200]], np.uint8)
    dataset = segmentation(samples, "FRACTIONAL", [segment(1, 65535, 32896, 32896)], MaximumFractionalValue=100)
    assert [red for red, _, _ in colours(samples, dataset)] == [0, 128, 255, 255]


def test_a_largest_value_of_0_is_ignored() -> None:
    dataset = segmentation(BITS, "FRACTIONAL", [segment(1, 65535, 32896, 32896)], MaximumFractionalValue=0)
    assert [red for red, _, _ in colours(BITS, dataset)] == [0, 255]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_label_map_has_a_colour_for_each_label(dtype: str) -> None:
    samples = np.array([[0, 1, 2, 7]], dtype)
    dataset = segmentation(samples, "LABELMAP", [segment(0), segment(1, *RED), segment(2)], PixelPaddingValue=7)
    found = colours(samples, dataset)
    assert [found[0], found[3]] == [[0, 0, 0], [0, 0, 0]]
    assert np.abs(np.subtract(found[1], [255, 0, 0])).max() <= 2
    assert found[2] == numbered_colours(np.array([2.0]))[0].tolist()


def test_label_0_is_not_black_if_its_segment_has_a_colour() -> None:
    assert colours(BITS, segmentation(BITS, "LABELMAP", [segment(0, *RED)]))[0][0] >= 253


def test_a_segmentation_of_32_bits_is_an_image_failure() -> None:
    samples = np.zeros((1, 2), np.uint32)
    with pytest.raises(ImageFailure, match=r"^The pixels of a segmentation must be integers of 8 or 16 bits\.$"):
        rendered(samples, segmentation(samples, "LABELMAP", [segment(1)]))


def test_colours_of_numbers_differ() -> None:
    found = numbered_colours(np.arange(1.0, 33.0)).astype(int)
    differences = np.abs(found[:, None] - found[None]).sum(axis=2) + np.eye(32, dtype=int) * 999
    assert differences.min() > 20
    assert found.max(axis=1).tolist() == [255] * 32


def dose(samples: Any, window: Window | None = None, **attributes: Any) -> list[list[int]]:
    array = np.array([samples], np.uint32)
    dataset = image(array, SOPClassUID="1.2.840.10008.5.1.4.1.1.481.2", **attributes)
    found: list[list[int]] = rendered(array, dataset, window=window).pixels.reshape(-1, 3).tolist()
    return found


def test_a_dose_is_black_at_0_and_red_at_the_largest() -> None:
    assert dose([0, 65, 130, 255000], DoseGridScaling=0.5)[::3] == [[0, 0, 0], [255, 0, 0]]
    assert dose([0, 50, 100], DoseGridScaling=0.5)[1] == [0, 219, 70]


def test_the_window_of_a_dose_is_in_its_unit() -> None:
    """130 of 255 parts of the window is green."""
    found = dose([0, 130, 255], Window(51, 102, "linear-exact"), DoseGridScaling=0.4)
    assert found == [[0, 0, 0], [0, 220, 60], [255, 0, 0]]


@pytest.mark.parametrize("scaling", [None, 0, -1])
def test_a_scaling_of_doses_that_makes_no_sense(scaling: float | None) -> None:
    attributes: dict[str, Any] = {} if scaling is None else {"DoseGridScaling": scaling}
    expected = [[0, 0, 0]] * 3 if scaling == -1 else [[0, 0, 0], [0, 0, 0], [255, 0, 0]]
    assert dose([0, 0, 7], **attributes) == expected
